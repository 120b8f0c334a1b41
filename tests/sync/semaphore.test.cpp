// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's lock_tests.py and test_threading.py.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <vector>

#include "sync/backends.hpp"

namespace sync_semaphore_test {

namespace {

using muster::InvalidStateError;
using muster::test::Crew;
using muster::test::next;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How many permits it has.
template <typename Semaphore>
int permits(const Semaphore& semaphore) {
    int count = 0;
    while (semaphore.try_acquire()) ++count;
    if (count != 0) semaphore.release(count);
    return count;
}

// Calls it with a type for both kinds.
template <typename B, typename Check>
void for_both(Check check) {
    check([](auto... n) { return typename B::Semaphore(n...); });
    check([](auto... n) { return typename B::BoundedSemaphore(n...); });
}

}  // namespace

TEST_CASE_TEMPLATE("a semaphore has no less than 0 permits [test_constructor, test_default_value]",
                   B, MUSTER_BACKENDS) {
    for_both<B>([](auto make) {
        CHECK_THROWS_AS(make(-1), std::invalid_argument);
        CHECK(permits(make(0)) == 0);
        CHECK(permits(make(std::size_t{3})) == 3);
        CHECK(permits(make()) == 1);  // [test_default_value]
    });
}

TEST_CASE_TEMPLATE(
    "acquire takes a permit, release gives it back [test_acquire, test_try_acquire, "
    "test_semaphore, test_bounded_semaphore]",
    B, MUSTER_BACKENDS) {
    for_both<B>([](auto make) {
        const auto semaphore = make(2);
        semaphore.acquire();
        CHECK(semaphore.try_acquire());
        CHECK_FALSE(semaphore.try_acquire());
        semaphore.release();
        CHECK(semaphore.try_acquire_for(0s));
        semaphore.release();
        semaphore.release();
        CHECK(permits(semaphore) == 2);
    });
}

TEST_CASE_TEMPLATE("a copy is the same semaphore, and outlives the original [test_acquire_destroy]",
                   B, MUSTER_BACKENDS) {
    for_both<B>([](auto make) {
        auto original = std::make_unique<decltype(make())>(make());
        const auto copy = *original;
        original->acquire();
        original.reset();
        CHECK(permits(copy) == 0);
        copy.release();
        CHECK(permits(copy) == 1);
        copy.acquire();  // Destroyed while nobody has given it back.
    });
}

TEST_CASE_TEMPLATE("as many pass as there are permits [test_acquire_contended, test_multirelease]",
                   B, MUSTER_BACKENDS) {
    for_both<B>([](auto make) {
        const auto semaphore = make(20);
        for (int i = 0; i < 14; ++i) semaphore.acquire();
        const typename B::template Queue<int> passed;
        const Crew<B> crew(
            10,
            [](auto shared, typename B::template Queue<int> out) {
                shared.acquire();
                out.put(1);
                shared.acquire();
                out.put(1);
            },
            semaphore, passed);
        CHECK(next(passed, 6).size() == 6);
        CHECK(crew.falls_asleep());
        CHECK(passed.empty());
        for (int i = 0; i < 7; ++i) semaphore.release();
        CHECK(next(passed, 7).size() == 7);
        semaphore.release(6);
        CHECK(next(passed, 6).size() == 6);
        CHECK(passed.empty());
        CHECK_FALSE(semaphore.try_acquire());
        semaphore.release();
        CHECK(next(passed, 1).size() == 1);
        CHECK(crew.join());
        CHECK(permits(semaphore) == 0);
        semaphore.release(20);
        CHECK(permits(semaphore) == 20);
    });
}

TEST_CASE_TEMPLATE(
    "of many who try, as many succeed as there are permits [test_try_acquire_contended]", B,
    MUSTER_BACKENDS) {
    for_both<B>([](auto make) {
        const auto semaphore = make(4);
        semaphore.acquire();
        const typename B::template Queue<int> seen;
        const Crew<B> crew(
            10,
            [](auto shared, typename B::template Queue<int> out) {
                out.put(shared.try_acquire() ? 1 : 0);
            },
            semaphore, seen);
        CHECK(next(seen, 10) == std::vector{0, 0, 0, 0, 0, 0, 0, 1, 1, 1});
    });
}

TEST_CASE_TEMPLATE("waiting for a permit ends when the time is up [test_acquire_timeout]", B,
                   MUSTER_BACKENDS) {
    for_both<B>([](auto make) {
        const auto semaphore = make(2);
        semaphore.acquire();
        CHECK(semaphore.try_acquire_for(5ms));
        CHECK_FALSE(semaphore.try_acquire_for(0s));
        CHECK_FALSE(semaphore.try_acquire_for(-100s));
        const auto begin = Clock::now();
        CHECK_FALSE(semaphore.try_acquire_for(30ms));
        CHECK(Clock::now() - begin >= 30ms);
        semaphore.release();
        CHECK(semaphore.try_acquire_for(std::chrono::hours::max()));
        semaphore.release(2);
        CHECK(permits(semaphore) == 2);
    });
}

TEST_CASE_TEMPLATE("release refuses less than one [test_multirelease]", B, MUSTER_BACKENDS) {
    for_both<B>([](auto make) {
        const auto semaphore = make(1);
        CHECK_THROWS_AS(semaphore.release(0), std::invalid_argument);
        CHECK_THROWS_AS(semaphore.release(-1), std::invalid_argument);
        CHECK(permits(semaphore) == 1);
    });
}

TEST_CASE_TEMPLATE(
    "a Semaphore may get more permits than at first [Semaphore.test_release_unacquired]", B,
    MUSTER_BACKENDS) {
    const typename B::Semaphore semaphore{1};
    semaphore.release();
    semaphore.release(3);
    CHECK(permits(semaphore) == 5);
}

TEST_CASE_TEMPLATE(
    "a BoundedSemaphore refuses what exceeds its permits, and is as before "
    "[BoundedSemaphore.test_release_unacquired, test_BoundedSemaphore_limit]",
    B, MUSTER_BACKENDS) {
    const typename B::BoundedSemaphore semaphore{2};
    CHECK_THROWS_AS(semaphore.release(), InvalidStateError);
    semaphore.acquire();
    CHECK_THROWS_AS(semaphore.release(2), InvalidStateError);
    CHECK(permits(semaphore) == 1);
    semaphore.release();
    CHECK_THROWS_AS(semaphore.release(), InvalidStateError);
    CHECK(permits(semaphore) == 2);
}

TEST_CASE_TEMPLATE(
    "a BoundedSemaphore refuses too much also while somebody waits, and wakes nobody", B,
    MUSTER_BACKENDS) {
    const typename B::BoundedSemaphore semaphore{1};
    semaphore.acquire();
    const typename B::template Queue<int> passed;
    const Crew<B> crew(
        1,
        [](typename B::BoundedSemaphore shared, typename B::template Queue<int> out) {
            shared.acquire();
            out.put(1);
        },
        semaphore, passed);
    CHECK(crew.falls_asleep());
    CHECK_THROWS_AS(semaphore.release(2), InvalidStateError);
    CHECK(crew.falls_asleep());
    CHECK(passed.empty());
    semaphore.release();
    CHECK(next(passed, 1) == std::vector{1});
}

}  // namespace sync_semaphore_test
