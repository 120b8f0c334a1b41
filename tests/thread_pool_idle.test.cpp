// SPDX-License-Identifier: MIT
// ctest: concurrency
// wait_idle inside a task, with as few workers as there can be.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "support/event.hpp"

namespace thread_pool_idle_test {

using muster::Future;
using muster::ThreadPoolExecutor;
using muster::test::Event;
using namespace std::chrono_literals;

TEST_CASE("wait_idle_for inside a task begins nothing when its time is up") {
    ThreadPoolExecutor pool(1);
    std::atomic<int> ran{0};
    CHECK(pool.submit([&] {
                  for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });
                  return !pool.wait_idle_for(0s) && ran == 0;
              })
              .result());
    pool.wait_idle();
    CHECK(ran == 10);
}

TEST_CASE("wait_idle inside a task waits for the others, with one worker") {
    ThreadPoolExecutor pool(1);
    std::atomic<int> done{0};
    const int seen = pool.submit([&] {
                             for (int i = 0; i < 10; ++i) pool.post([&] { ++done; });
                             pool.wait_idle();
                             return done.load();
                         })
                         .result();
    CHECK(seen == 10);
}

TEST_CASE("wait_idle inside a task waits for tasks that run elsewhere") {
    ThreadPoolExecutor pool(2);
    const Event begun;
    const Event gate;
    auto other = pool.submit([begun, gate] {
        begun.set();
        gate.wait();
    });
    begun.wait();
    const Event looked;
    auto waiter = pool.submit([&, looked] {
        const bool too_early = pool.wait_idle_for(2ms);
        looked.set();
        pool.wait_idle();
        return !too_early && other.done();
    });
    looked.wait();
    CHECK_FALSE(waiter.wait_for(5ms));
    gate.set();
    CHECK(waiter.result());
}

TEST_CASE("tasks that wait for idleness do not wait for each other") {
    ThreadPoolExecutor pool(3);
    std::atomic<int> waiting{0};
    std::vector<Future<void>> futures;
    for (int i = 0; i < 3; ++i)
        futures.push_back(pool.submit([&] {
            ++waiting;
            pool.wait_idle();
        }));
    for (const auto& future : futures) future.result();
    CHECK(waiting == 3);
}

TEST_CASE("a task that wait_idle runs on top of another waits for the rest as well") {
    ThreadPoolExecutor pool(2);
    const Event begun;
    const Event gate;
    auto other = pool.submit([begun, gate] {
        begun.set();
        gate.wait();
    });
    begun.wait();  // The other worker is busy, so this one runs both of these.
    bool too_early = false;
    auto task = pool.submit([&] {
        pool.post([&] {
            too_early = pool.wait_idle_for(2ms);
            gate.set();
        });
        pool.wait_idle();
    });

    task.result();
    CHECK_FALSE(too_early);
    CHECK(other.done());
}

TEST_CASE("a task may submit itself again, and wait_idle and shutdown see it through") {
    ThreadPoolExecutor pool(2);
    std::atomic<int> runs{0};
    std::function<void()> again = [&] {
        if (++runs < 500) pool.post(again);
    };
    pool.post(again);
    pool.wait_idle();
    CHECK(runs == 500);
    CHECK(pool.stats().completed == 500);
}

TEST_CASE("a callback may submit, and wait_idle and the destructor wait for that too") {
    std::atomic<int> called{0};
    {
        ThreadPoolExecutor pool(1);
        std::function<void(const Future<void>&)> next = [&](const Future<void>&) {
            if (++called < 50) pool.submit([] {}).add_done_callback(next);
        };
        pool.submit([] {}).add_done_callback(next);
        pool.wait_idle();
        CHECK(called == 50);
    }
    CHECK(called == 50);
}

}  // namespace thread_pool_idle_test
