// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's lock_tests.py.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "sync/backends.hpp"

namespace sync_lock_test {

namespace {

using muster::InvalidStateError;
using muster::test::Crew;
using muster::test::next;
using muster::test::patience;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// What a worker of its own gets from try_lock().
template <typename B, typename L>
bool free_for_others(const L& lock) {
    const typename B::template Queue<int> seen;
    const Crew<B> other(
        1,
        [](L taken, typename B::template Queue<int> out) {
            const bool free = taken.try_lock();
            if (free) taken.unlock();
            out.put(free ? 1 : 0);
        },
        lock, seen);
    return next(seen, 1) == std::vector{1};
}

// Calls it for both kinds of locks.
template <typename B, typename Check>
void for_both(Check check) {
    check(typename B::Lock());
    check(typename B::RLock());
}

}  // namespace

TEST_CASE_TEMPLATE(
    "a lock is free, then held, then free again [test_acquire_release, test_locked, "
    "test_constructor, test_try_acquire_contended, test_repr, test_locked_repr]",
    B, MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        CHECK_FALSE(lock.locked());
        CHECK(free_for_others<B>(lock));
        lock.lock();
        CHECK(lock.locked());
        CHECK_FALSE(free_for_others<B>(lock));  // [test_try_acquire_contended]
        lock.unlock();
        CHECK_FALSE(lock.locked());
        CHECK(free_for_others<B>(lock));
    });
}

TEST_CASE_TEMPLATE("try_lock holds a free lock [test_try_acquire]", B, MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        CHECK(lock.try_lock());
        CHECK_FALSE(free_for_others<B>(lock));
        lock.unlock();
        CHECK(lock.try_lock_for(0s));
        CHECK_FALSE(free_for_others<B>(lock));
        lock.unlock();
    });
}

TEST_CASE_TEMPLATE("a copy is the same lock, and outlives the original [test_acquire_destroy]", B,
                   MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        auto original = std::make_unique<decltype(lock)>();
        const auto copy = *original;
        const auto moved = std::move(*original);
        original->lock();  // Moving leaves it as it was.
        original.reset();
        CHECK(copy.locked());
        CHECK(moved.locked());
        copy.unlock();
        CHECK_FALSE(moved.locked());
        copy.lock();  // Destroyed while it is held.
    });
}

TEST_CASE_TEMPLATE("those who wait get the lock one after the other [test_acquire_contended]", B,
                   MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        const typename B::template Queue<int> seen;
        lock.lock();
        const Crew<B> crew(
            5,
            [](decltype(lock) shared, typename B::template Queue<int> out) {
                for (int i = 0; i < 20; ++i) {
                    shared.lock();
                    out.put(1);
                    out.put(0);
                    shared.unlock();
                }
            },
            lock, seen);
        CHECK(crew.falls_asleep());
        CHECK(seen.empty());
        lock.unlock();
        CHECK(crew.join());
        REQUIRE(seen.size() == 200);
        bool alternates = true;
        for (int i = 0; i < 200; ++i) alternates = seen.get() == 1 - i % 2 && alternates;
        CHECK(alternates);
        CHECK_FALSE(lock.locked());
    });
}

TEST_CASE_TEMPLATE(
    "guards of the standard library hold and release it [test_with, test_lock_context]", B,
    MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        {
            const std::lock_guard held(lock);
            CHECK_FALSE(free_for_others<B>(lock));
        }
        CHECK(free_for_others<B>(lock));
        try {
            const std::scoped_lock held(lock);
            throw std::runtime_error("");
        } catch (const std::runtime_error&) {
        }
        CHECK(free_for_others<B>(lock));
        std::unique_lock late(lock, std::defer_lock);
        CHECK(late.try_lock_for(patience));
        CHECK_FALSE(free_for_others<B>(lock));
        late.unlock();
        CHECK(late.try_lock_until(Clock::now() + patience));
        late.unlock();
        CHECK(late.try_lock_until(std::chrono::system_clock::now()));
    });
}

TEST_CASE_TEMPLATE("std::scoped_lock takes two locks in any order without deadlock", B,
                   MUSTER_BACKENDS) {
    const typename B::Lock one;
    const typename B::RLock other;
    const auto in_order = [](auto first, auto second) {
        for (int i = 0; i < 500; ++i) const std::scoped_lock held(first, second);
    };
    const Crew<B> forth(1, in_order, one, other);
    const Crew<B> back(1, in_order, other, one);
    CHECK(forth.join());
    CHECK(back.join());
}

TEST_CASE_TEMPLATE("workers that come and go leave a lock as it was [test_thread_leak]", B,
                   MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        const Crew<B> crew(
            15,
            [](decltype(lock) shared) {
                shared.lock();
                shared.unlock();
            },
            lock);
        CHECK(crew.join());
        CHECK_FALSE(lock.locked());
    });
}

TEST_CASE_TEMPLATE(
    "waiting for a lock ends when the time is up [test_timeout, test_state_after_timeout]", B,
    MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        const typename B::template Queue<long> seen;
        lock.lock();
        const Crew<B> crew(
            1,
            [](decltype(lock) shared, typename B::template Queue<long> out) {
                const auto begin = Clock::now();
                out.put(shared.try_lock_for(-100s) ? 1 : 0);
                out.put(shared.try_lock_until(Clock::time_point::min()) ? 1 : 0);
                out.put(shared.try_lock_for(50ms) ? 1 : 0);
                out.put(Clock::now() - begin >= 50ms ? 0 : 2);
                out.put(shared.try_lock_for(std::chrono::hours::max()) ? 1 : 0);
                shared.unlock();
            },
            lock, seen);
        CHECK(next(seen, 4) == std::vector<long>(4, 0));
        CHECK(crew.falls_asleep());
        lock.unlock();
        CHECK(next(seen, 1) == std::vector<long>{1});
        CHECK(crew.join());
        CHECK_FALSE(lock.locked());
        CHECK(lock.try_lock_for(1e100 * 1s));
        lock.unlock();
    });
}

TEST_CASE_TEMPLATE("a Lock that its holder locks again throws instead of waiting [test_reacquire]",
                   B, MUSTER_BACKENDS) {
    const typename B::Lock lock;
    lock.lock();
    CHECK_THROWS_AS(lock.lock(), InvalidStateError);
    CHECK_THROWS_AS((void)lock.try_lock_for(std::chrono::hours::max()), InvalidStateError);
    CHECK_FALSE(lock.try_lock());
    CHECK_FALSE(lock.try_lock_for(-1s));
    const auto begin = Clock::now();
    CHECK_FALSE(lock.try_lock_for(20ms));
    CHECK(Clock::now() - begin >= 20ms);
    lock.unlock();
    CHECK(free_for_others<B>(lock));
}

TEST_CASE_TEMPLATE(
    "only its holder may unlock it [test_different_thread, test_release_unacquired, test_lock, "
    "test__is_owned]",
    B, MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        CHECK_THROWS_AS(lock.unlock(), InvalidStateError);
        lock.lock();
        const typename B::template Queue<int> seen;
        const Crew<B> crew(
            1,
            [](decltype(lock) shared, typename B::template Queue<int> out) {
                try {
                    shared.unlock();
                    out.put(0);
                } catch (const InvalidStateError&) {
                    out.put(1);
                }
            },
            lock, seen);
        CHECK(next(seen, 1) == std::vector{1});
        CHECK_FALSE(free_for_others<B>(lock));
        lock.unlock();
        CHECK_THROWS_AS(lock.unlock(), InvalidStateError);
        CHECK(free_for_others<B>(lock));
    });
}

TEST_CASE_TEMPLATE(
    "an RLock is free when it was unlocked as often as locked [test_reacquire, "
    "test_recursion_count, test_rlock]",
    B, MUSTER_BACKENDS) {
    const typename B::RLock lock;
    lock.lock();
    CHECK(lock.try_lock());
    CHECK(lock.try_lock_for(0s));
    for (int i = 0; i < 3; ++i) {
        CHECK_FALSE(free_for_others<B>(lock));
        lock.unlock();
    }
    CHECK(free_for_others<B>(lock));
    CHECK_THROWS_AS(lock.unlock(), InvalidStateError);
}

TEST_CASE_TEMPLATE("recover() holds a lock that nobody has abandoned as lock() does", B,
                   MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        lock.recover();
        CHECK_FALSE(free_for_others<B>(lock));
        lock.unlock();
        CHECK(free_for_others<B>(lock));
    });
}

}  // namespace sync_lock_test
