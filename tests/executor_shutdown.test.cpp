// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// How every executor is waited for, and how it ends.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/event.hpp"
#include "support/executors.hpp"
#include "support/task_gate.hpp"

namespace executor_shutdown_test {

namespace {

using muster::test::Event;
using muster::test::TaskGate;
using muster::test::with_workers;
using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }

// A pool of one worker, which is busy until `gate` opens, and two tasks that wait behind.
template <typename E>
struct BusyPool {
    E pool{1};
    TaskGate gate;
    muster::Future<char> running = pool.submit(TaskGate::pass, gate.path(), 'a');
    muster::Future<int> second = pool.submit(twice, 2);
    muster::Future<int> third = pool.submit(twice, 3);

    BusyPool() { gate.arrival(); }
};

}  // namespace

TEST_CASE_TEMPLATE("wait_idle returns at once when there was nothing to do", E, EVERY_EXECUTOR) {
    E pool;
    pool.wait_idle();
    CHECK(pool.wait_idle_for(0s));
    CHECK(pool.wait_idle_for(1h));
}

TEST_CASE_TEMPLATE("after wait_idle all tasks are done", E, EVERY_EXECUTOR) {
    E pool = with_workers<E>(3);
    std::vector<muster::Future<int>> futures;
    for (int i = 0; i < 50; ++i) futures.push_back(pool.submit(twice, i));

    pool.wait_idle();

    for (const auto& future : futures) CHECK(future.done());
    CHECK(pool.stats().completed == 50);
}

TEST_CASE_TEMPLATE("wait_idle_for tells whether all tasks have ended", E, EVERY_POOL) {
    BusyPool<E> busy;

    CHECK_FALSE(busy.pool.wait_idle_for(0s));
    CHECK_FALSE(busy.pool.wait_idle_for(2ms));
    busy.gate.open();
    CHECK(busy.pool.wait_idle_for(1h));

    CHECK(busy.third.done());
}

TEST_CASE_TEMPLATE("wait_idle waits for callbacks and continuations too", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    const Event opened;
    std::atomic<bool> called{false};
    std::atomic<bool> continued{false};
    auto task = pool.submit(TaskGate::pass, gate.path(), 'a');
    task.add_done_callback([&, opened](const auto&) {
        opened.wait();
        called = true;
    });
    auto link = task.then([&](char) { continued = true; });
    gate.open();
    task.wait();

    CHECK_FALSE(pool.wait_idle_for(2ms));
    opened.set();
    pool.wait_idle();

    CHECK(called);
    CHECK(continued);
}

TEST_CASE_TEMPLATE("wait_idle waits for the callbacks of a task that another thread cancels", E,
                   EVERY_POOL) {
    BusyPool<E> busy;
    const Event in_callback;
    const Event leave;
    busy.second.add_done_callback([in_callback, leave](const auto&) {
        in_callback.set();
        leave.wait();
    });
    std::thread canceller([second = busy.second] { second.cancel(); });
    in_callback.wait();
    busy.gate.open();
    busy.running.wait();
    busy.third.wait();

    CHECK_FALSE(busy.pool.wait_idle_for(2ms));
    leave.set();
    busy.pool.wait_idle();
    CHECK(busy.pool.stats().cancelled == 1);
    canceller.join();
}

TEST_CASE_TEMPLATE("shutdown refuses further tasks", E, EVERY_EXECUTOR) {
    E pool;
    auto before = pool.submit(twice, 1);
    pool.shutdown();

    CHECK_THROWS_AS((void)pool.submit(twice, 2), muster::ShutdownError);
    CHECK_THROWS_AS((void)pool.submit({.priority = 1}, twice, 2), muster::ShutdownError);
    CHECK_THROWS_AS((void)pool.try_submit(twice, 2), muster::ShutdownError);
    CHECK_THROWS_AS(pool.post(twice, 2), muster::ShutdownError);
    CHECK(before.result() == 2);
    CHECK(pool.stats().completed == 1);
    CHECK(pool.stats().pending == 0);
}

TEST_CASE_TEMPLATE("shutdown is the same the second time, in each of its ways", E, EVERY_EXECUTOR) {
    E pool;
    auto task = pool.submit(twice, 1);
    for (const bool wait : {true, false})
        for (const bool cancel : {true, false}) {
            pool.shutdown({.wait = wait, .cancel_futures = cancel});
            pool.shutdown();
        }
    CHECK(task.done());
    CHECK_THROWS_AS((void)pool.submit(twice, 2), muster::ShutdownError);
}

TEST_CASE_TEMPLATE("an executor that was given nothing shuts down", E, EVERY_EXECUTOR) {
    for (const bool wait : {true, false})
        for (const bool cancel : {true, false}) {
            E pool;
            pool.shutdown({.wait = wait, .cancel_futures = cancel});
        }
    E never_used;
    CHECK(never_used.stats().completed == 0);
}

TEST_CASE_TEMPLATE("shutdown without waiting returns while tasks run, and they all run", E,
                   EVERY_POOL) {
    BusyPool<E> busy;

    busy.pool.shutdown({.wait = false});

    CHECK(busy.running.running());
    CHECK_FALSE(busy.second.done());
    CHECK_THROWS_AS((void)busy.pool.submit(twice, 1), muster::ShutdownError);
    busy.gate.open();
    CHECK(busy.running.result() == 'a');
    CHECK(busy.second.result() == 4);
    CHECK(busy.third.result() == 6);
    busy.pool.shutdown();
    CHECK(busy.pool.stats().completed == 3);
}

TEST_CASE_TEMPLATE("shutdown with cancel_futures cancels what has not begun, at once", E,
                   EVERY_POOL) {
    BusyPool<E> busy;

    busy.pool.shutdown({.wait = false, .cancel_futures = true});

    CHECK(busy.running.running());
    CHECK(busy.second.cancelled());
    CHECK(busy.third.cancelled());
    busy.gate.open();
    CHECK(busy.running.result() == 'a');
    busy.pool.shutdown();
    CHECK(busy.pool.stats().completed == 1);
    CHECK(busy.pool.stats().cancelled == 2);
}

TEST_CASE_TEMPLATE("shutdown waits for all tasks", E, EVERY_POOL) {
    BusyPool<E> busy;
    const Event returned;
    std::thread closer([&, returned] {
        busy.pool.shutdown();
        returned.set();
    });

    CHECK_FALSE(returned.wait_for(2ms));
    busy.gate.open();
    closer.join();

    CHECK(busy.running.done());
    CHECK(busy.second.result() == 4);
    CHECK(busy.third.result() == 6);
}

TEST_CASE_TEMPLATE("shutdown with cancel_futures waits for the running task", E, EVERY_POOL) {
    BusyPool<E> busy;
    const Event returned;
    std::thread closer([&, returned] {
        busy.pool.shutdown({.wait = true, .cancel_futures = true});
        returned.set();
    });

    busy.third.wait();  // Cancelled, while the first one runs.
    CHECK_FALSE(returned.wait_for(2ms));
    CHECK(busy.running.running());
    busy.gate.open();
    closer.join();

    CHECK(busy.running.result() == 'a');
    CHECK(busy.second.cancelled());
    CHECK(busy.third.cancelled());
}

TEST_CASE_TEMPLATE("a second shutdown may cancel what the first let run", E, EVERY_POOL) {
    BusyPool<E> busy;
    busy.pool.shutdown({.wait = false});
    busy.pool.shutdown({.wait = false, .cancel_futures = true});
    CHECK(busy.third.cancelled());
}

TEST_CASE_TEMPLATE("shutdown may be called from several threads", E, EVERY_POOL) {
    BusyPool<E> busy;
    std::atomic<int> done_when_returned{0};
    std::vector<std::thread> closers;
    for (int i = 0; i < 4; ++i)
        closers.emplace_back([&] {
            busy.pool.shutdown();
            if (busy.third.done()) ++done_when_returned;
        });
    busy.gate.open();
    for (std::thread& closer : closers) closer.join();

    CHECK(done_when_returned == 4);
}

TEST_CASE_TEMPLATE("shutdown wakes those who wait for room in the pool", E, EVERY_POOL) {
    E pool({.max_workers = 1, .max_pending = 1});
    TaskGate gate;
    auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
    gate.arrival();
    std::atomic<bool> refused{false};
    std::thread submitter([&] {
        try {
            (void)pool.submit(twice, 1);
        } catch (const muster::ShutdownError&) {
            refused = true;
        }
    });

    pool.shutdown({.wait = false});
    submitter.join();

    CHECK(refused);
}

TEST_CASE_TEMPLATE("the destructor waits for all tasks", E, EVERY_EXECUTOR) {
    std::vector<muster::Future<int>> futures;
    {
        E pool = with_workers<E>(2);
        for (int i = 0; i < 30; ++i) futures.push_back(pool.submit(twice, i));
    }
    for (std::size_t i = 0; i < futures.size(); ++i) {
        REQUIRE(futures[i].done());
        CHECK(futures[i].result() == 2 * static_cast<int>(i));
    }
}

TEST_CASE_TEMPLATE("the destructor waits after shutdown without waiting", E, EVERY_POOL) {
    muster::Future<int> last;
    {
        E pool(1);
        for (int i = 0; i < 10; ++i) last = pool.submit(twice, i);
        pool.shutdown({.wait = false});
    }
    REQUIRE(last.done());
    CHECK(last.result() == 18);
}

TEST_CASE_TEMPLATE("cancelling right before shutdown does not hang it", E, EVERY_POOL) {
    for (int i = 0; i < 20; ++i) {
        E pool(1);
        auto task = pool.submit(twice, i);
        task.cancel();
        pool.shutdown();
        CHECK(task.done());
    }
}

TEST_CASE_TEMPLATE("every task of a pool that is shut down with cancel_futures is done", E,
                   EVERY_POOL) {
    std::vector<muster::Future<int>> futures;
    E pool(2);
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit(twice, i));

    pool.shutdown({.cancel_futures = true});

    std::size_t cancelled = 0;
    for (const auto& future : futures) {
        REQUIRE(future.done());
        cancelled += future.cancelled();
    }
    CHECK(pool.stats().cancelled == cancelled);
    CHECK(pool.stats().completed == 100 - cancelled);
}

TEST_CASE_TEMPLATE("a pool has at least one worker", E, EVERY_POOL) {
    CHECK_THROWS_AS(E(0), std::invalid_argument);
    CHECK_THROWS_AS(E(-1), std::invalid_argument);
    CHECK_THROWS_AS(E({.max_workers = 0}), std::invalid_argument);
    CHECK_THROWS_AS(E({.max_workers = static_cast<std::size_t>(-1)}), std::invalid_argument);
    CHECK(E(3).max_workers() == 3);
    CHECK(E(3u).max_workers() == 3);
    CHECK(E({.max_workers = 2}).max_workers() == 2);
    E four{4};
    CHECK(four.max_workers() == 4);
}

TEST_CASE_TEMPLATE("every executor says how many workers it has", E, EVERY_EXECUTOR) {
    const E pool;
    CHECK(pool.max_workers() >= 1);
    CHECK(pool.stats().running == 0);
}

}  // namespace executor_shutdown_test
