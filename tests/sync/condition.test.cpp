// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's lock_tests.py, and of its
// _test_multiprocessing.py.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "sync/backends.hpp"

namespace sync_condition_test {

namespace {

using muster::InvalidStateError;
using muster::test::Crew;
using muster::test::next;
using muster::test::patience;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

template <typename B>
using Numbers = typename B::template Queue<int>;

// A worker that waits twice: it says its number in `ready` before it waits, and in `passed`
// afterwards. Whoever then holds the lock knows that it waits.
template <typename B>
void wait_twice(typename B::Condition condition, typename B::Lock lock, int number,
                Numbers<B> ready, Numbers<B> passed) {
    std::unique_lock held(lock);
    for (int i = 0; i < 2; ++i) {
        ready.put(number);
        condition.wait(held);
        passed.put(number);
    }
}

// Whether nobody else holds the lock.
template <typename B, typename L>
bool free_for_others(const L& lock) {
    const Numbers<B> seen;
    const Crew<B> other(
        1,
        [](L taken, Numbers<B> out) {
            const bool free = taken.try_lock();
            if (free) taken.unlock();
            out.put(free ? 1 : 0);
        },
        lock, seen);
    return next(seen, 1) == std::vector{1};
}

}  // namespace

TEST_CASE_TEMPLATE("waiting without the lock is refused [test_unacquired_wait]", B,
                   MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::Lock lock;
    const typename B::RLock rlock;
    typename B::Lock guarded;
    std::unique_lock guard(guarded, std::defer_lock);
    CHECK_THROWS_AS(condition.wait(lock), InvalidStateError);
    CHECK_THROWS_AS(condition.wait(rlock), InvalidStateError);
    CHECK_THROWS_AS(condition.wait(guard), InvalidStateError);
    CHECK_THROWS_AS(condition.wait_for(lock, 0s), InvalidStateError);
    CHECK_THROWS_AS(condition.wait(lock, [] { return true; }), InvalidStateError);
    CHECK_THROWS_AS(condition.wait_for(lock, 0s, [] { return true; }), InvalidStateError);
    CHECK_FALSE(lock.locked());

    guarded.lock();
    const Numbers<B> seen;
    const Crew<B> other(  // It is held, but by another.
        1,
        [](typename B::Condition shared, typename B::Lock held, Numbers<B> out) {
            try {
                (void)shared.wait_for(held, 0s);
                out.put(0);
            } catch (const InvalidStateError&) {
                out.put(1);
            }
        },
        condition, guarded, seen);
    CHECK(next(seen, 1) == std::vector{1});
    guarded.unlock();
}

TEST_CASE_TEMPLATE(
    "notifying needs no lock, and is forgotten when nobody waits "
    "[test_unacquired_notify, test_notify_n]",
    B, MUSTER_BACKENDS) {
    const typename B::Condition condition;
    condition.notify_one();
    condition.notify_all();
    condition.notify(3);
    typename B::Lock lock;
    const std::unique_lock held(lock);
    CHECK_FALSE(condition.wait_for(lock, 5ms));
}

TEST_CASE_TEMPLATE(
    "as many go on as are notified, first come, first served [test_notify, "
    "test_notify_n, test_notify_all]",
    B, MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::Lock lock;
    const Numbers<B> ready;
    const Numbers<B> passed;
    std::vector<typename B::Worker> workers;
    workers.reserve(10);
    for (int i = 0; i < 10; ++i) {
        workers.emplace_back(&wait_twice<B>, condition, lock, i, ready, passed);
        workers.back().start();
        REQUIRE(next(ready, 1) == std::vector{i});  // So they come in the order of their numbers.
    }
    const auto notified = [&](std::size_t count, auto notify) {
        lock.lock();  // All wait who are to.
        notify();
        lock.unlock();
        return next(passed, count);
    };
    CHECK(notified(3, [&] { condition.notify(3); }) == std::vector{0, 1, 2});
    CHECK(next(ready, 3) == std::vector{0, 1, 2});
    CHECK(notified(1, [&] { condition.notify_one(); }) == std::vector{3});
    CHECK(next(ready, 1) == std::vector{3});
    for (const auto& worker : workers) CHECK(muster::test::falls_asleep(worker));
    CHECK(passed.empty());
    CHECK(notified(5, [&] { condition.notify(5); }) == std::vector{4, 5, 6, 7, 8});
    CHECK(next(ready, 5) == std::vector{4, 5, 6, 7, 8});
    // The last one for the first time, and nine for the second.
    CHECK(notified(10, [&] { condition.notify_all(); }) ==
          std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    CHECK(next(ready, 1) == std::vector{9});
    CHECK(passed.empty());
    CHECK(notified(1, [&] { condition.notify(100); }) == std::vector{9});
    for (const auto& worker : workers) CHECK(worker.join_for(patience));
}

TEST_CASE_TEMPLATE("waiting ends when the time is up, and says so [test_timeout, test_wait_result]",
                   B, MUSTER_BACKENDS) {
    const typename B::Condition condition;
    typename B::Lock lock;
    const Numbers<B> seen;
    const Crew<B> crew(
        5,
        [](typename B::Condition shared, typename B::Lock mine, Numbers<B> out) {
            mine.lock();
            const auto begin = Clock::now();
            const bool notified = shared.wait_for(mine, 50ms);
            mine.unlock();  // Held again.
            out.put(!notified && Clock::now() - begin >= 50ms ? 1 : 0);
        },
        condition, lock, seen);
    CHECK(next(seen, 5) == std::vector(5, 1));
    std::unique_lock held(lock);
    CHECK_FALSE(condition.wait_for(held, -1s));
    CHECK(held.owns_lock());
    CHECK(lock.locked());
    held.unlock();

    const Numbers<B> ready;
    const Crew<B> notified(
        1,
        [](typename B::Condition shared, typename B::Lock mine, Numbers<B> begun, Numbers<B> out) {
            const std::lock_guard guard(mine);
            begun.put(1);
            out.put(shared.wait_for(mine, patience) ? 1 : 0);
        },
        condition, lock, ready, seen);
    REQUIRE(next(ready, 1).size() == 1);
    held.lock();
    condition.notify_one();
    held.unlock();
    CHECK(next(seen, 1) == std::vector{1});
}

TEST_CASE_TEMPLATE("who gave up swallows no notification", B, MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::Lock lock;
    const Numbers<B> ready;
    const Numbers<B> passed;
    const auto wait = [](typename B::Condition shared, typename B::Lock mine, int limit_ms,
                         Numbers<B> begun, Numbers<B> out) {
        const std::lock_guard guard(mine);
        begun.put(1);
        out.put(shared.wait_for(mine, limit_ms * 1ms) ? limit_ms : 0);
    };
    const Crew<B> hasty(1, wait, condition, lock, 1, ready, passed);
    REQUIRE(next(ready, 1).size() == 1);
    const Crew<B> patient(1, wait, condition, lock, 200'000, ready, passed);
    REQUIRE(next(ready, 1).size() == 1);
    CHECK(next(passed, 1) == std::vector{0});
    lock.lock();
    condition.notify_one();
    lock.unlock();
    CHECK(next(passed, 1) == std::vector{200'000});
}

TEST_CASE_TEMPLATE("waiting for a predicate goes on until it is true [test_waitfor]", B,
                   MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::Lock lock;
    const Numbers<B> state;
    const Numbers<B> passed;
    const Crew<B> crew(
        1,
        [](typename B::Condition shared, typename B::Lock mine, Numbers<B> numbers,
           Numbers<B> out) {
            mine.lock();
            shared.wait(mine, [&] { return numbers.size() == 4; });
            out.put(static_cast<int>(numbers.size()));
            mine.unlock();
        },
        condition, lock, state, passed);
    for (int i = 0; i < 4; ++i) {
        CHECK(crew.falls_asleep());
        CHECK(passed.empty());
        const std::lock_guard held(lock);
        state.put(i);
        condition.notify_one();
    }
    CHECK(next(passed, 1) == std::vector{4});
}

TEST_CASE_TEMPLATE(
    "waiting for a predicate ends with what it says when the time is up "
    "[test_waitfor_timeout]",
    B, MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::RLock lock;
    lock.lock();
    const auto begin = Clock::now();
    CHECK_FALSE(condition.wait_for(lock, 30ms, [] { return false; }));
    CHECK(Clock::now() - begin >= 30ms);
    CHECK(condition.wait_for(lock, 0s, [] { return true; }));
    int calls = 0;
    CHECK(condition.wait_for(lock, 1ms, [&] { return ++calls == 2; }));
    CHECK(calls == 2);
    lock.unlock();
}

TEST_CASE_TEMPLATE("a predicate that throws leaves the lock held", B, MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::Lock lock;
    lock.lock();
    const auto fail = []() -> bool { throw std::runtime_error("no"); };
    CHECK_THROWS_AS(condition.wait(lock, fail), std::runtime_error);
    CHECK_FALSE(free_for_others<B>(lock));
    int calls = 0;
    CHECK_THROWS_AS(condition.wait_for(lock, 1ms, [&] { return ++calls == 2 && fail(); }),
                    std::runtime_error);
    CHECK_FALSE(free_for_others<B>(lock));
    lock.unlock();
}

TEST_CASE_TEMPLATE("an RLock is released wholly, and held as often as before [test_acquire]", B,
                   MUSTER_BACKENDS) {
    const typename B::Condition condition;
    typename B::RLock lock;
    const Numbers<B> seen;
    const Crew<B> crew(
        1,
        [](typename B::Condition shared, typename B::RLock mine, Numbers<B> out) {
            mine.lock();
            mine.lock();
            std::unique_lock third(mine);
            out.put(0);
            out.put(shared.wait_for(third, patience) ? 1 : 0);
            mine.unlock();
            mine.unlock();
            out.put(third.owns_lock() ? 1 : 0);
        },
        condition, lock, seen);
    REQUIRE(next(seen, 1) == std::vector{0});
    lock.lock();  // It is free while the other waits.
    condition.notify_one();
    lock.unlock();
    CHECK(next(seen, 2) == std::vector{1, 1});
    CHECK(crew.join());
    CHECK_FALSE(lock.locked());
}

}  // namespace sync_condition_test
