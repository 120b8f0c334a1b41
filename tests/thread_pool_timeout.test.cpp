// SPDX-License-Identifier: MIT
// ctest: concurrency
// What becomes of a thread pool's tasks that run longer than they may.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/event.hpp"
#include "support/held_pool.hpp"

namespace thread_pool_timeout_test {

namespace {

using muster::Future;
using muster::ThreadPoolExecutor;
using muster::test::Event;
using muster::test::HeldPool;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE("past its timeout a task's future holds TaskTimeout while it still runs") {
    ThreadPoolExecutor pool(1);
    const Event asked;
    const Event gate;
    const Event returned;
    auto task = pool.submit({.name = "the endless one", .timeout = 1ms},
                            [asked, gate, returned](muster::StopToken stop) {
                                while (!stop.stop_requested()) std::this_thread::yield();
                                asked.set();
                                gate.wait();
                                returned.set();
                                return 1;
                            });
    auto behind = pool.submit([] { return 2; });

    try {
        (void)task.result();
        FAIL("it has no result");
    } catch (const muster::TaskTimeout& timeout) {
        CHECK(std::string(timeout.what()).find("the endless one") != std::string::npos);
    }
    asked.wait();
    CHECK_FALSE(returned.happened());
    CHECK_FALSE(behind.done());  // The worker is still busy.
    CHECK_FALSE(pool.wait_idle_for(1ms));
    gate.set();

    CHECK(behind.result() == 2);
    pool.wait_idle();
    const muster::ExecutorStats stats = pool.stats();
    CHECK(stats.timed_out == 1);
    CHECK(stats.completed == 1);
    CHECK(stats.failed == 0);
    CHECK(stats.running == 0);
    CHECK(stats.pending == 0);
}

TEST_CASE("a timeout is counted from the task's start, not while it waits") {
    HeldPool held;
    auto task = held.pool.submit({.timeout = 10s}, [] { return 1; });
    auto brief = held.pool.submit({.timeout = 1ms}, [](muster::StopToken stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
    });
    CHECK_FALSE(brief.wait_for(5ms));
    held.gate.set();
    CHECK(task.result() == 1);
    CHECK_THROWS_AS(brief.result(), muster::TaskTimeout);
}

TEST_CASE("a task that ends within its timeout keeps its outcome") {
    ThreadPoolExecutor pool(2);
    for (int i = 0; i < 50; ++i) {
        CHECK(pool.submit({.timeout = 1h}, [] { return 3; }).result() == 3);
        auto fails = pool.submit({.timeout = 1h}, [] { throw std::out_of_range("x"); });
        CHECK_THROWS_AS(fails.result(), std::out_of_range);
    }
    pool.wait_idle();
    CHECK(pool.stats().timed_out == 0);
}

TEST_CASE("tasks that end when their time is over have one outcome each") {
    ThreadPoolExecutor pool(2);
    std::vector<Future<int>> futures;
    for (int i = 0; i < 200; ++i)
        futures.push_back(pool.submit({.timeout = std::chrono::microseconds(i)}, [] {
            std::this_thread::sleep_for(50us);
            return 1;
        }));
    pool.wait_idle();
    std::size_t timed_out = 0;
    for (const auto& future : futures) {
        REQUIRE(future.done());
        timed_out += future.exception() != nullptr;
    }
    CHECK(pool.stats().timed_out == timed_out);
    CHECK(pool.stats().completed == futures.size() - timed_out);
    CHECK(pool.stats().failed == 0);
}

TEST_CASE("a pool that is destroyed while time limits expire waits for what they started") {
    for (int i = 0; i < 100; ++i) {
        std::atomic<int> callbacks{0};
        {
            ThreadPoolExecutor pool(2);
            for (int k = 0; k < 4; ++k)
                pool.submit({.timeout = std::chrono::microseconds(20 * k)},
                            [](muster::StopToken stop) {
                                while (!stop.stop_requested()) std::this_thread::yield();
                            })
                    .add_done_callback([&](const auto&) { ++callbacks; });
        }
        CHECK(callbacks == 4);
    }
}

TEST_CASE("a callback of a task that ran past its time may wait for what needs the time") {
    ThreadPoolExecutor pool(2);
    const Event added;
    const Event over;
    std::atomic<int> tries{0};
    std::atomic<int> got{0};
    for (int i = 0; i < 2; ++i) pool.post([added] { added.wait(); });
    auto late = pool.submit({.timeout = 1ms}, [](muster::StopToken stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
    });
    pool.post({.timeout = 10min}, [over] { over.wait(); });
    late.add_done_callback([&, over](const Future<void>&) {
        const auto fails_once = [&] { return ++tries == 1 ? throw std::runtime_error("once") : 7; };
        got = pool.submit({.retries = 1, .retry_delay = 1ms}, fails_once).result();
        over.set();
    });
    added.set();

    REQUIRE(pool.wait_idle_for(200s));

    CHECK(got == 7);
    CHECK_THROWS_AS(late.result(), muster::TaskTimeout);
}

TEST_CASE("wait_idle waits for the callbacks of a task that ran past its time") {
    ThreadPoolExecutor pool(1);
    const Event in_callback;
    const Event leave;
    const Event gate;
    auto task = pool.submit({.timeout = 1ms}, [gate] { gate.wait(); });
    task.add_done_callback([in_callback, leave](const auto&) {
        in_callback.set();
        leave.wait();
    });
    in_callback.wait();
    gate.set();
    pool.submit([] {}).result();  // So the task itself has returned.

    CHECK_FALSE(pool.wait_idle_for(2ms));
    leave.set();
    pool.wait_idle();
    CHECK(pool.stats().timed_out == 1);
}

TEST_CASE("who waits for a task whose time is over does not wait for its stop callbacks") {
    const Event gate;
    ThreadPoolExecutor pool(1);
    auto task = pool.submit({.timeout = 1ms}, [gate](muster::StopToken stop) {
        const std::stop_callback held(stop, [gate] { gate.wait(); });
        while (!stop.stop_requested()) std::this_thread::yield();
    });
    CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
    gate.set();
}

TEST_CASE("a stop callback may submit to its task's full pool, or shut it down") {
    for (const bool submits : {true, false}) {
        for (const bool by_time : {true, false}) {
            CAPTURE(submits);
            CAPTURE(by_time);
            ThreadPoolExecutor pool({.max_workers = 1, .max_pending = 1});
            const Event called;
            const auto listen = [&](muster::StopToken stop) {
                const std::stop_callback callback(stop, [&] {
                    submits ? pool.post([] {}) : pool.shutdown();
                    called.set();
                });
                while (!stop.stop_requested()) std::this_thread::yield();
            };
            auto task = by_time ? pool.submit({.timeout = 1ms}, listen) : pool.submit(listen);
            while (!by_time && !task.running()) std::this_thread::yield();
            if (!by_time) CHECK(task.request_stop());
            called.wait();
            CHECK((task.exception() != nullptr) == by_time);
            pool.shutdown();
            CHECK(pool.stats().completed + pool.stats().timed_out == (submits ? 2 : 1));
        }
    }
}

}  // namespace thread_pool_timeout_test
