// SPDX-License-Identifier: MIT
// ctest: concurrency
// What CPython's lock_tests.py asks of locks, events, conditions and barriers beyond tests/sync.
// The names in brackets are the cases' names there, or in _test_multiprocessing.py.
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sync/backends.hpp"

namespace conformance_locks_test {

namespace {

using muster::BrokenBarrierError;
using muster::test::Crew;
using muster::test::next;
using muster::test::patience;
using muster::test::soon;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

template <typename B>
using Numbers = typename B::template Queue<int>;

constexpr std::size_t five = 5;

// Whether a signal has stopped the process.
[[maybe_unused]] bool is_stopped(long long id) {
    std::ifstream status("/proc/" + std::to_string(id) + "/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("State:")) return line.find('T', 6) != line.npos;
    return false;
}

// Whether a wait of 50 ms is in vain, never shorter, and not always ten times as long.
template <typename Wait>
bool keeps_time(Wait wait) {
    bool exact = false;
    for (int i = 0; i < 20 && !exact; ++i) {
        const auto begin = Clock::now();
        if (wait(50ms)) return false;
        const auto took = Clock::now() - begin;
        if (took < 50ms) return false;
        exact = took < 500ms;
    }
    return exact;
}

// What a worker learns of a lock that another one holds.
template <typename L, typename B>
void wait_for_lock(L lock, Numbers<B> told) {
    told.put(keeps_time([&](auto limit) { return lock.try_lock_for(limit); }) ? 1 : 0);
}

// Calls it for both kinds of locks.
template <typename B, typename Check>
void for_both(Check check) {
    check(typename B::Lock());
    check(typename B::RLock());
}

// Waits twice, and says so each time: before the wait in `ready`, with the lock held, and
// afterwards in a queue for the first and one for the second wait.
template <typename B>
void wait_twice(typename B::Condition condition, typename B::Lock lock, Numbers<B> ready,
                Numbers<B> first, Numbers<B> second) {
    for (const Numbers<B>& passed : {first, second}) {
        const std::lock_guard held(lock);
        ready.put(1);
        passed.put(condition.wait_for(lock, patience) ? 1 : 0);
    }
}

// Each of the five passes first; then one breaks the barrier instead of waiting again. The others
// say what becomes of their waits.
template <typename B, typename Break>
void pass_and_break(const typename B::Barrier& barrier, const Numbers<B>& passed,
                    const Numbers<B>& broken, Break break_it) {
    try {
        if (barrier.wait() == five / 2) return break_it();
        barrier.wait();
        passed.put(1);
    } catch (const BrokenBarrierError&) {
        broken.put(1);
    }
}

}  // namespace

TEST_CASE_TEMPLATE(
    "others see that a lock is held, and cannot hold it "
    "[test_locked_with_2threads, test_lock_locked_2processes, test_rlock_locked_2processes]",
    B, MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        const Numbers<B> told;
        const typename B::Event gate;
        const Crew<B> crew(
            1,
            [](decltype(lock) shared, Numbers<B> out, typename B::Event opening) {
                shared.lock();
                out.put(1);
                opening.wait();
                shared.unlock();
            },
            lock, told, gate);
        REQUIRE(next(told, 1).size() == 1);
        CHECK(lock.locked());
        CHECK_FALSE(lock.try_lock());
        CHECK(lock.locked());
        gate.set();
        CHECK(crew.join());
        CHECK_FALSE(lock.locked());
    });
}

TEST_CASE_TEMPLATE(
    "no wait is shorter than its time, and none much longer "
    "[test_timeout, test_acquire_timeout, test_waitfor_timeout]",
    B, MUSTER_BACKENDS) {
    for_both<B>([](auto lock) {
        const Numbers<B> told;
        lock.lock();
        const Crew<B> crew(1, &wait_for_lock<decltype(lock), B>, lock, told);
        CHECK(next(told, 1) == std::vector{1});
        lock.unlock();
    });
    const typename B::Semaphore semaphore{0};
    CHECK(keeps_time([&](auto limit) { return semaphore.try_acquire_for(limit); }));
    const typename B::Event event;
    CHECK(keeps_time([&](auto limit) { return event.wait_for(limit); }));
    const typename B::Condition condition;
    const typename B::Lock lock;
    const std::lock_guard held(lock);
    CHECK(keeps_time([&](auto limit) { return condition.wait_for(lock, limit); }));
    CHECK(keeps_time(
        [&](auto limit) { return condition.wait_for(lock, limit, [] { return false; }); }));
    const typename B::Barrier barrier(2);
    CHECK(keeps_time([&](auto limit) {
        barrier.reset();
        return barrier.wait_for(limit);
    }));
    const Numbers<B> queue(1);
    CHECK(keeps_time([&](auto limit) { return queue.get_for(limit).has_value(); }));
    queue.put(1);
    CHECK(keeps_time([&](auto limit) { return queue.put_for(2, limit); }));
    CHECK(keeps_time([&](auto limit) { return queue.join_for(limit); }));
}

TEST_CASE_TEMPLATE("an event that was cleared lets five go on again [test_notify]", B,
                   MUSTER_BACKENDS) {
    const typename B::Event event;
    const Numbers<B> passed;
    for (int round = 0; round < 2; ++round) {
        const Crew<B> crew(
            five,
            [](typename B::Event shared, Numbers<B> out) {
                for (int i = 0; i < 2; ++i) {
                    shared.wait();
                    out.put(1);
                }
            },
            event, passed);
        CHECK(crew.falls_asleep());
        CHECK(passed.empty());
        event.set();
        CHECK(next(passed, 2 * five).size() == 2 * five);
        CHECK(crew.join());
        event.set();
        event.clear();
    }
}

TEST_CASE_TEMPLATE("five wait for an event in vain, and not when it is set [test_timeout]", B,
                   MUSTER_BACKENDS) {
    const typename B::Event event;
    const Numbers<B> told;
    const auto wait = [](typename B::Event shared, Numbers<B> out) {
        out.put(shared.wait_for(0s) ? 1 : 0);
        const auto begin = Clock::now();
        const bool set = shared.wait_for(50ms);
        out.put(set ? 1 : Clock::now() - begin >= 50ms ? 0 : 2);
    };
    const Crew<B> in_vain(five, wait, event, told);
    CHECK(next(told, 2 * five) == std::vector(2 * five, 0));
    event.set();
    const Crew<B> at_once(five, wait, event, told);
    CHECK(next(told, 2 * five) == std::vector(2 * five, 1));
}

TEST_CASE_TEMPLATE(
    "of five who wait twice, three are notified, then five, then the rest [test_notify]", B,
    MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::Lock lock;
    for (int round = 0; round < 2; ++round) {  // The state is as it was after the first.
        const Numbers<B> ready;
        const Numbers<B> first;
        const Numbers<B> second;
        const Crew<B> crew(five, &wait_twice<B>, condition, lock, ready, first, second);
        const auto notify = [&](std::size_t waits, std::size_t count) {
            REQUIRE(next(ready, waits).size() == waits);
            CHECK(crew.falls_asleep());
            CHECK(first.empty());
            CHECK(second.empty());
            const std::lock_guard held(lock);  // All wait who are to.
            condition.notify(count);
        };
        notify(five, 3);
        CHECK(next(first, 3) == std::vector(3, 1));
        notify(3, 5);
        CHECK(next(first, 2) == std::vector(2, 1));
        CHECK(next(second, 3) == std::vector(3, 1));
        notify(2, ~std::size_t{0});
        CHECK(next(second, 2) == std::vector(2, 1));
        CHECK(crew.join());
        CHECK(ready.empty());
        CHECK(first.empty());
        CHECK(second.empty());
    }
}

TEST_CASE_TEMPLATE(
    "notifications that make no predicate true prolong no wait [test_waitfor_timeout]", B,
    MUSTER_BACKENDS) {
    const typename B::Condition condition;
    const typename B::Lock lock;
    const Numbers<B> state;
    const Numbers<B> told;
    const Crew<B> crew(
        1,
        [](typename B::Condition shared, typename B::Lock mine, Numbers<B> numbers,
           Numbers<B> out) {
            const std::lock_guard held(mine);
            out.put(0);
            const auto begin = Clock::now();
            const bool in_time = shared.wait_for(mine, 100ms, [&] { return numbers.size() == 4; });
            out.put(!in_time && Clock::now() - begin >= 100ms ? 1 : 2);
        },
        condition, lock, state, told);
    REQUIRE(next(told, 1).size() == 1);
    for (int i = 0; i < 3; ++i) {
        const std::lock_guard held(lock);
        state.put(i);
        condition.notify_one();
    }
    CHECK(next(told, 1) == std::vector{1});
}

TEST_CASE_TEMPLATE("one of five aborts, four are told [test_abort]", B, MUSTER_BACKENDS) {
    const typename B::Barrier barrier(five);
    const Numbers<B> passed;
    const Numbers<B> broken;
    const Crew<B> crew(
        five,
        [](typename B::Barrier shared, Numbers<B> told, Numbers<B> refused) {
            pass_and_break<B>(shared, told, refused, [&] { shared.abort(); });
        },
        barrier, passed, broken);
    CHECK(crew.join());
    CHECK(broken.size() == five - 1);
    CHECK(passed.empty());
    CHECK(barrier.broken());
}

TEST_CASE_TEMPLATE("one of five resets, four are told, and all five pass again [test_reset]", B,
                   MUSTER_BACKENDS) {
    const typename B::Barrier barrier(five);
    const Numbers<B> passed;
    const Numbers<B> broken;
    const Numbers<B> again;
    const Crew<B> crew(
        five,
        [](typename B::Barrier shared, Numbers<B> told, Numbers<B> refused, Numbers<B> last) {
            pass_and_break<B>(shared, told, refused, [&] {
                (void)soon([&] { return shared.n_waiting() == five - 1; });
                shared.reset();
            });
            shared.wait();
            last.put(1);
        },
        barrier, passed, broken, again);
    CHECK(crew.join());
    CHECK(broken.size() == five - 1);
    CHECK(passed.empty());
    CHECK(again.size() == five);
    CHECK_FALSE(barrier.broken());
}

TEST_CASE_TEMPLATE(
    "one of five aborts, four are told, one resets, and all five pass again "
    "[test_abort_and_reset]",
    B, MUSTER_BACKENDS) {
    const typename B::Barrier barrier(five);
    const typename B::Barrier other(five);
    const Numbers<B> passed;
    const Numbers<B> broken;
    const Numbers<B> again;
    const Crew<B> crew(
        five,
        [](typename B::Barrier shared, typename B::Barrier between, Numbers<B> told,
           Numbers<B> refused, Numbers<B> last) {
            pass_and_break<B>(shared, told, refused, [&] { shared.abort(); });
            if (between.wait() == five / 2) shared.reset();  // All have left it,
            between.wait();                                  // and nobody has come yet.
            shared.wait();
            last.put(1);
        },
        barrier, other, passed, broken, again);
    CHECK(crew.join());
    CHECK(broken.size() == five - 1);
    CHECK(passed.empty());
    CHECK(again.size() == five);
    CHECK_FALSE(barrier.broken());
}

TEST_CASE_TEMPLATE("who waits in vain for the end of an action breaks the barrier [test_timeout]",
                   B, MUSTER_BACKENDS) {
    static std::optional<typename B::Event> begun;  // What captures cannot cross.
    static std::optional<typename B::Event> gate;
    begun.emplace();
    gate.emplace();
    const typename B::Barrier barrier(1, [] {
        begun->set();
        gate->wait();
    });
    std::optional<bool> broken;
    const muster::threading::Thread acting{[&] {
        try {
            barrier.wait();
            broken = false;
        } catch (const BrokenBarrierError&) {
            broken = true;
        }
    }};
    acting.start();
    CHECK(begun->wait_for(patience));
    CHECK_FALSE(barrier.wait_for(5ms));
    CHECK(barrier.broken());
    gate->set();
    acting.join();
    CHECK(broken == true);
    begun.reset();
    gate.reset();
}

#ifndef TEST_THREAD_SANITIZER  // As for MUSTER_BACKENDS.
TEST_CASE("who has passed a barrier is not told of its end [test_abort]") {
    using B = muster::Processes;
    const B::Barrier barrier(2);
    const Numbers<B> told;
    const B::Worker other{[](B::Barrier its, Numbers<B> out) {
                              try {
                                  out.put(static_cast<int>(its.wait()));
                              } catch (const BrokenBarrierError&) {
                                  out.put(-1);
                              }
                          },
                          barrier, told};
    other.start();
    REQUIRE(soon([&] { return barrier.n_waiting() == 1; }));
    REQUIRE(muster::test::falls_asleep(other));
    other.send_signal(SIGSTOP);
    REQUIRE(soon([&] { return is_stopped(other.id()); }));
    CHECK(barrier.wait() == 1);  // Both have passed, but one has not woken up.
    barrier.abort();
    other.send_signal(SIGCONT);
    CHECK(told.get_for(patience) == 0);
    CHECK(barrier.broken());
}
#endif

}  // namespace conformance_locks_test
