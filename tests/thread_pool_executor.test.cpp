// SPDX-License-Identifier: MIT
// ctest: concurrency
// What only a pool of threads promises: its threads, its bound, its initializer. Its order is in
// thread_pool_order.test.cpp, its time limits in thread_pool_timeout.test.cpp.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <latch>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/event.hpp"

namespace thread_pool_executor_test {

namespace {

using muster::Future;
using muster::ThreadPoolExecutor;
using muster::test::Event;
using namespace std::chrono_literals;

std::string thread_name() {
    char name[16] = {};
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    return name;
}

// What initializers leave in their thread.
thread_local int initialized = 0;
thread_local std::string greeting;

}  // namespace

TEST_CASE("tasks submitted one after the other use one thread") {
    ThreadPoolExecutor pool(8);
    std::set<std::thread::id> threads;
    for (int i = 0; i < 50; ++i) {
        threads.insert(pool.submit([] { return std::this_thread::get_id(); }).result());
        pool.wait_idle();
    }
    CHECK(threads.size() == 1);
    CHECK(threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("a saturated pool has as many threads as it may, and no more") {
    ThreadPoolExecutor pool(4);
    const Event gate;
    std::mutex mutex;
    std::set<std::thread::id> threads;
    const Event all_there;
    for (int i = 0; i < 60; ++i)
        pool.post([&, all_there, gate] {
            {
                const std::lock_guard held(mutex);
                threads.insert(std::this_thread::get_id());
                if (threads.size() == 4) all_there.set();
            }
            gate.wait();
        });

    all_there.wait();
    CHECK(pool.stats().running == 4);
    CHECK(pool.stats().pending == 56);
    gate.set();
    pool.wait_idle();

    CHECK(threads.size() == 4);
    CHECK(pool.stats().completed == 60);
}

TEST_CASE("stats name the tasks that run and have a name") {
    ThreadPoolExecutor pool(3);
    const Event gate;
    std::vector<Event> begun(3);
    std::vector<muster::Future<void>> tasks;
    for (const char* const name : {"first", "", "second"}) {
        const Event& begins = begun[tasks.size()];
        tasks.push_back(pool.submit({.name = name}, [begins, gate] {
            begins.set();
            gate.wait();
        }));
    }
    for (const Event& begins : begun) begins.wait();
    const auto later = pool.submit({.name = "later"}, [] {});
    auto names = pool.stats().running_names;
    std::sort(names.begin(), names.end());
    CHECK(names == std::vector<std::string>{"first", "second"});
    gate.set();
    for (const auto& task : tasks) task.wait();
    later.wait();
    CHECK(pool.stats().running_names.empty());
}

TEST_CASE("idle threads sleep") {
    ThreadPoolExecutor pool(4);
    const Event all_there;
    std::atomic<int> there{0};
    for (int i = 0; i < 4; ++i)
        pool.post([&, all_there] {
            if (++there == 4) all_there.set();
            all_there.wait();
        });
    pool.wait_idle();
    // The best of many, for a busy machine charges for what it did itself. All threads' together.
    std::clock_t least = CLOCKS_PER_SEC;
    for (int i = 0; i < 10; ++i) {
        const std::clock_t before = std::clock();
        std::this_thread::sleep_for(50ms);
        least = std::min(least, std::clock() - before);
    }
    CHECK(least < CLOCKS_PER_SEC / 50);  // One that looked for work all the while would have 50 ms.
}

TEST_CASE("constructing a pool starts no thread") {
    std::atomic<int> started{0};
    {
        ThreadPoolExecutor pool({.max_workers = 4, .initializer = [&] { ++started; }});
        CHECK(pool.max_workers() == 4);
        pool.wait_idle();
        (void)pool.stats();
    }
    CHECK(started == 0);
}

TEST_CASE("threads are named after the prefix and their number") {
    ThreadPoolExecutor pool({.max_workers = 3, .thread_name_prefix = "special"});
    const Event gate;
    std::mutex mutex;
    std::set<std::string> names;
    const Event all_there;
    for (int i = 0; i < 3; ++i)
        pool.post([&, all_there, gate] {
            {
                const std::lock_guard held(mutex);
                names.insert(thread_name());
                if (names.size() == 3) all_there.set();
            }
            gate.wait();
        });
    all_there.wait();
    gate.set();
    pool.wait_idle();

    CHECK(names == std::set<std::string>{"special_0", "special_1", "special_2"});
}

TEST_CASE("threads without a prefix are named after the pool's type") {
    ThreadPoolExecutor pool(1);
    // The system keeps 15 characters.
    CHECK(pool.submit(thread_name).result() == std::string("ThreadPoolExecutor").substr(0, 15));
}

TEST_CASE("a full pool lets its own tasks and callbacks submit") {
    ThreadPoolExecutor pool({.max_workers = 1, .max_pending = 1});
    Future<int> inner;
    pool.submit([&] { inner = pool.submit([] { return 5; }); }).result();
    CHECK(inner.result() == 5);
    pool.wait_idle();

    Future<int> from_callback;
    const Event begun;
    const Event gate;
    auto task = pool.submit([begun, gate] {
        begun.set();
        gate.wait();
    });
    task.add_done_callback([&](const auto&) { from_callback = pool.submit([] { return 6; }); });
    begun.wait();
    gate.set();
    pool.wait_idle();
    CHECK(from_callback.result() == 6);
    CHECK(pool.try_submit([] { return 7; }).has_value());  // The exempt ones left no debt.
}

TEST_CASE("max_pending counts the running task and those that wait") {
    ThreadPoolExecutor pool({.max_workers = 2, .max_pending = 3});
    const Event gate;
    std::vector<Future<void>> futures;
    while (auto future = pool.try_submit([gate] { gate.wait(); }))
        futures.push_back(std::move(*future));
    CHECK(futures.size() == 3);
    gate.set();
    pool.wait_idle();
    CHECK(pool.try_submit([] {}).has_value());
}

TEST_CASE("many threads that wait for room all get it") {
    ThreadPoolExecutor pool({.max_workers = 2, .max_pending = 2});
    std::atomic<int> sum{0};
    std::vector<std::thread> submitters;
    for (int i = 0; i < 4; ++i)
        submitters.emplace_back([&] {
            for (int k = 0; k < 200; ++k) pool.post([&] { ++sum; });
        });
    for (std::thread& submitter : submitters) submitter.join();
    pool.wait_idle();
    CHECK(sum == 800);
}

TEST_CASE("the initializer runs once in each worker before its first task") {
    std::atomic<int> calls{0};
    ThreadPoolExecutor pool({.max_workers = 3,
                             .initializer = {[&](int amount) {
                                                 initialized += amount;
                                                 ++calls;
                                             },
                                             7}});
    std::mutex mutex;
    std::set<std::thread::id> threads;
    std::set<int> seen;
    const Event all_there;
    for (int i = 0; i < 30; ++i)
        pool.post([&, all_there] {
            {
                const std::lock_guard held(mutex);
                seen.insert(initialized);
                threads.insert(std::this_thread::get_id());
                if (threads.size() == 3) all_there.set();
            }
            all_there.wait();
        });
    pool.wait_idle();

    CHECK(calls == 3);
    CHECK(seen == std::set<int>{7});
}

TEST_CASE("workers start side by side, however long their initializers take") {
    std::latch all{3};
    ThreadPoolExecutor pool({.max_workers = 3, .initializer = [&] { all.arrive_and_wait(); }});
    std::vector<muster::Future<void>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(pool.submit([] {}));
    for (const auto& task : tasks) CHECK(task.wait_for(200s));
}

TEST_CASE("initializer arguments are kept as submit keeps them") {
    ThreadPoolExecutor pool(
        {.max_workers = 1,
         .initializer = {[](std::string text) { greeting = std::move(text); }, "hi"}});
    CHECK(pool.submit([] { return greeting; }).result() == "hi");
}

TEST_CASE("an initializer that throws breaks the pool, with its words") {
    const Event gate;
    ThreadPoolExecutor pool({.max_workers = 1, .initializer = [gate] {
                                 gate.wait();
                                 throw std::runtime_error("no database");
                             }});
    bool ran = false;
    auto present = pool.submit([&] { ran = true; });
    auto queued = pool.submit([&] { ran = true; });
    gate.set();
    const auto is_broken = [](const Future<void>& future) {
        try {
            future.result();
        } catch (const muster::BrokenThreadPool& broken) {
            return std::string(broken.what()).find("no database") != std::string::npos;
        }
        return false;
    };

    CHECK(is_broken(present));
    CHECK(is_broken(queued));
    CHECK(is_broken(pool.submit([&] { ran = true; })));  // And so it stays.
    auto later = pool.submit([&] { ran = true; });
    CHECK_THROWS_AS(later.result(), muster::BrokenExecutor);
    CHECK_THROWS_AS(pool.for_each([&](int) { ran = true; }, std::vector{1, 2}),
                    muster::BrokenThreadPool);
    CHECK_FALSE(ran);
    pool.wait_idle();
    CHECK(pool.stats().completed == 0);
    CHECK(pool.stats().running == 0);
    CHECK(pool.stats().pending == 0);
    pool.shutdown();
    CHECK_THROWS_AS((void)pool.submit([] {}), muster::ShutdownError);
}

TEST_CASE("a pool that breaks breaks what runs and what waits for another attempt, too") {
    std::atomic<int> workers{0};
    ThreadPoolExecutor pool({.max_workers = 1, .initializer = [&workers] {
                                 if (++workers == 2) throw std::runtime_error("no database");
                             }});
    std::atomic<int> attempts{0};
    auto delayed = pool.submit({.retries = 1, .retry_delay = std::chrono::hours(24)}, [&attempts] {
        ++attempts;
        throw std::domain_error("an attempt");
    });
    auto overrun = pool.submit({.timeout = std::chrono::milliseconds(1),
                                .retries = 1,
                                .retry_delay = std::chrono::hours(24)},
                               [&attempts](const muster::StopToken& stop) {
                                   ++attempts;
                                   while (!stop.stop_requested()) std::this_thread::yield();
                               });
    while (attempts < 2 || pool.stats().pending < 2) std::this_thread::yield();
    const Event gate;
    auto returns = pool.submit([gate] { return gate.wait(), 1; });
    auto throws = pool.submit([] { throw std::domain_error("its own"); });
    while (pool.stats().running == 0) std::this_thread::yield();

    pool.resize(2);

    CHECK_THROWS_AS(delayed.result(), muster::BrokenThreadPool);
    CHECK_THROWS_AS(overrun.result(), muster::BrokenThreadPool);
    CHECK_THROWS_AS(throws.result(), muster::BrokenThreadPool);
    gate.set();
    CHECK_THROWS_AS((void)returns.result(), muster::BrokenThreadPool);
    CHECK(attempts == 2);
    pool.wait_idle();
    CHECK(pool.stats().completed == 0);
}

TEST_CASE("an initializer may throw anything") {
    ThreadPoolExecutor pool({.max_workers = 2, .initializer = [] { throw 42; }});
    auto task = pool.submit([] {});
    CHECK_THROWS_AS(task.result(), muster::BrokenThreadPool);
}

}  // namespace thread_pool_executor_test
