// SPDX-License-Identifier: MIT
// ctest: concurrency
// What only a pool of threads promises: its threads, its order, its initializer, its time limits.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/event.hpp"

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

// A pool of one worker that runs nothing further until `gate` is set.
struct HeldPool {
    ThreadPoolExecutor pool{1};
    Event begun;
    Event gate;

    HeldPool() {
        pool.post([begun = begun, gate = gate] {
            begun.set();
            gate.wait();
        });
        begun.wait();
    }
};

// Notes what tasks say, in order.
class Notes {
  public:
    void add(int number) {
        const std::lock_guard held(mutex_);
        numbers_.push_back(number);
    }
    std::vector<int> numbers() const {
        const std::lock_guard held(mutex_);
        return numbers_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<int> numbers_;
};

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

TEST_CASE("tasks begin in the order of their submission") {
    HeldPool held;
    Notes notes;
    std::vector<int> expected;
    for (int i = 0; i < 300; ++i) {
        held.pool.post([&notes, i] { notes.add(i); });
        expected.push_back(i);
    }
    held.gate.set();
    held.pool.wait_idle();
    CHECK(notes.numbers() == expected);
}

TEST_CASE("tasks submitted by tasks take their place in the order too") {
    HeldPool held;
    Notes notes;
    for (int i = 0; i < 20; ++i)
        held.pool.post([&, i] {
            notes.add(i);
            held.pool.post([&, i] { notes.add(100 + i); });
        });
    held.gate.set();
    held.pool.wait_idle();

    // The twenty were there before any that they submitted.
    std::vector<int> expected;
    for (int i = 0; i < 20; ++i) expected.push_back(i);
    for (int i = 0; i < 20; ++i) expected.push_back(100 + i);
    CHECK(notes.numbers() == expected);
}

TEST_CASE("submissions from inside and outside are run in the order in which they were made") {
    ThreadPoolExecutor pool(1);
    Notes notes;
    std::vector<int> expected;
    const Event ended;
    pool.post([&, ended] {
        for (int i = 0; i < 20; ++i) {
            const int inside = 2 * i;
            pool.post([&notes, inside] { notes.add(inside); });
            // Another thread, while this task runs.
            std::thread([&] { pool.post([&notes, inside] { notes.add(inside + 1); }); }).join();
        }
        ended.set();
    });
    for (int i = 0; i < 40; ++i) expected.push_back(i);
    ended.wait();
    pool.wait_idle();
    CHECK(notes.numbers() == expected);
}

TEST_CASE("priorities hold for tasks submitted by tasks") {
    ThreadPoolExecutor pool(1);
    Notes notes;
    const auto note = [&](int number) { return [&notes, number] { notes.add(number); }; };
    pool.submit([&] {
            for (const auto& [priority, number] : std::vector<std::pair<int, int>>{
                     {0, 3}, {-1, 6}, {5, 1}, {0, 4}, {-1, 7}, {5, 2}, {0, 5}})
                pool.post({.priority = priority}, note(number));
        })
        .result();
    pool.wait_idle();
    CHECK(notes.numbers() == std::vector{1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("an urgent task passes those that wait, not the one that runs") {
    HeldPool held;
    Notes notes;
    for (int i = 0; i < 200; ++i)
        held.pool.post([&, i] {
            notes.add(i);
            if (i == 3) held.pool.post({.priority = 1}, [&] { notes.add(1000); });
        });
    held.pool.post({.priority = 1}, [&] { notes.add(2000); });
    held.gate.set();
    held.pool.wait_idle();

    const std::vector<int> numbers = notes.numbers();
    REQUIRE(numbers.size() == 202);
    CHECK(std::vector(numbers.begin(), numbers.begin() + 6) == std::vector{2000, 0, 1, 2, 3, 1000});
    CHECK(numbers.back() == 199);
}

TEST_CASE("a task of lowest priority runs when nothing else waits") {
    HeldPool held;
    Notes notes;
    held.pool.post({.priority = std::numeric_limits<int>::min()}, [&] {
        notes.add(3);
        held.pool.post([&] { notes.add(4); });
    });
    held.pool.post([&] {
        notes.add(1);
        held.pool.post([&] { notes.add(2); });
    });
    held.pool.post({.priority = std::numeric_limits<int>::max()}, [&] { notes.add(0); });
    held.gate.set();
    held.pool.wait_idle();
    CHECK(notes.numbers() == std::vector{0, 1, 2, 3, 4});
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
    task.add_done_callback(
        [&](const auto&) { from_callback = pool.submit([] { return 6; }); });
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
    ThreadPoolExecutor pool({.max_workers = 3, .initializer = {[&](int amount) {
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

TEST_CASE("initializer arguments are kept as submit keeps them") {
    ThreadPoolExecutor pool(
        {.max_workers = 1, .initializer = {[](std::string text) { greeting = std::move(text); }, "hi"}});
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
    CHECK_THROWS_AS(pool.submit([&] { ran = true; }).result(), muster::BrokenExecutor);
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

TEST_CASE("an initializer may throw anything") {
    ThreadPoolExecutor pool({.max_workers = 2, .initializer = [] { throw 42; }});
    CHECK_THROWS_AS(pool.submit([] {}).result(), muster::BrokenThreadPool);
}

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
        CHECK_THROWS_AS(pool.submit({.timeout = 1h}, [] { throw std::out_of_range("x"); }).result(),
                        std::out_of_range);
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
