// SPDX-License-Identifier: MIT
// ctest: concurrency
// Barriers with actions. The names in brackets are those of the cases of CPython's lock_tests.py.
#include <doctest/doctest.h>

#include <muster/threading/barrier.hpp>
#include <muster/threading/event.hpp>
#include <muster/threading/queue.hpp>
#include <muster/threading/thread.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <vector>

#include "sync/backends.hpp"

namespace threading_barrier_test {

namespace {

using muster::BrokenBarrierError;
using muster::test::falls_asleep;
using muster::test::patience;
using muster::test::soon;
using muster::threading::Barrier;
using muster::threading::Event;
using muster::threading::Queue;
using muster::threading::Thread;
using namespace std::chrono_literals;

// A thread that waits at the barrier, and tells its place, or -1 when that breaks.
Thread comer(const Barrier& barrier, const Queue<int>& told) {
    return Thread{[=] {
        try {
            told.put(static_cast<int>(barrier.wait()));
        } catch (const BrokenBarrierError&) {
            told.put(-1);
        }
    }};
}

// A barrier for two, whose action waits until the gate is set.
struct HeldBarrier {
    Event begun;
    Event gate;
    Barrier barrier{2, [begun = begun, gate = gate] {
                        begun.set();
                        gate.wait();
                    }};
    Queue<int> told;
    Thread first = comer(barrier, told);
    Thread second = comer(barrier, told);

    // One waits, the other is in the action.
    HeldBarrier() {
        first.start();
        CHECK(soon([&] { return barrier.n_waiting() == 1; }));
        second.start();
        begun.wait();
    }
    ~HeldBarrier() { gate.set(); }
};

}  // namespace

TEST_CASE("the last who comes runs the action, once, before all go on [test_action]") {
    std::atomic<int> calls{0};
    std::atomic<int> in_time{0};
    const Barrier barrier(5, [&] { ++calls; });
    std::vector<Thread> threads;
    threads.reserve(5);
    for (int i = 0; i < 5; ++i) {
        threads.emplace_back([&, barrier] {
            for (int round = 0; round < 50; ++round) {
                barrier.wait();
                in_time += calls == 2 * round + 1 ? 1 : 0;
                barrier.wait();
            }
        });
        threads.back().start();
    }
    for (const Thread& thread : threads) thread.join();
    CHECK(calls == 100);
    CHECK(in_time == 250);
}

TEST_CASE("who runs the action has the last place, and nobody passes meanwhile") {
    const HeldBarrier held;
    CHECK(falls_asleep(held.first));
    // Who is early for the next round waits for the end of this one.
    const Thread third = comer(held.barrier, held.told);
    third.start();
    CHECK(falls_asleep(third));
    CHECK(held.told.empty());
    held.gate.set();
    CHECK(held.second.join_for(patience));
    CHECK(held.first.join_for(patience));
    CHECK(soon([&] { return held.barrier.n_waiting() == 1; }));
    CHECK(muster::test::next(held.told, 2) == std::vector{0, 1});
    CHECK(held.barrier.wait() == 1);
    CHECK(held.told.get_for(patience) == 0);
}

TEST_CASE("an action that throws breaks the barrier, and leaves the wait of its thread") {
    const Queue<int> told;
    bool fails = true;
    const Barrier barrier(2, [&] {
        if (fails) throw std::runtime_error("no");
    });
    const Thread first = comer(barrier, told);
    first.start();
    CHECK(soon([&] { return barrier.n_waiting() == 1; }));
    CHECK_THROWS_WITH_AS(barrier.wait(), "no", std::runtime_error);
    CHECK(told.get_for(patience) == -1);
    CHECK(barrier.broken());
    CHECK_THROWS_AS(barrier.wait(), BrokenBarrierError);
    fails = false;
    barrier.reset();
    const Thread second = comer(barrier, told);
    second.start();
    CHECK_NOTHROW(barrier.wait());
    CHECK(told.get_for(patience).value_or(-1) >= 0);
}

TEST_CASE("a barrier that breaks during the action breaks for all, its thread included") {
    const HeldBarrier held;
    const Thread early = comer(held.barrier, held.told);
    int broken = 1;
    SUBCASE("by abort") {
        early.start();
        CHECK(falls_asleep(early));
        held.barrier.abort();
        ++broken;
    }
    SUBCASE("by reset") { held.barrier.reset(); }
    SUBCASE("because somebody waits in vain") { CHECK_FALSE(held.barrier.wait_for(5ms)); }
    CHECK(muster::test::next(held.told, static_cast<std::size_t>(broken)) ==
          std::vector(static_cast<std::size_t>(broken), -1));
    held.gate.set();
    CHECK(held.told.get_for(patience) == -1);
    CHECK(held.second.join_for(patience));
    held.barrier.reset();
    const Thread other = comer(held.barrier, held.told);
    other.start();
    CHECK_NOTHROW(held.barrier.wait());
}

TEST_CASE("after a reset the next round begins when the action has ended") {
    const HeldBarrier held;
    held.barrier.reset();
    CHECK_FALSE(held.barrier.broken());
    CHECK(held.told.get_for(patience) == -1);
    const Thread third = comer(held.barrier, held.told);
    const Thread fourth = comer(held.barrier, held.told);
    third.start();
    fourth.start();
    CHECK(falls_asleep(third));
    CHECK(falls_asleep(fourth));
    CHECK(held.barrier.n_waiting() == 0);
    CHECK(held.told.empty());
    held.gate.set();
    CHECK(muster::test::next(held.told, 3) == std::vector{-1, 0, 1});
}

TEST_CASE("an action may ask and abort its barrier") {
    std::optional<Barrier> barrier;
    std::size_t seen = 0;
    barrier.emplace(1, [&] {
        seen = barrier->n_waiting() + barrier->parties();
        barrier->abort();
    });
    CHECK_THROWS_AS(barrier->wait(), BrokenBarrierError);
    CHECK(barrier->broken());
    CHECK(seen == 1);
}

}  // namespace threading_barrier_test
