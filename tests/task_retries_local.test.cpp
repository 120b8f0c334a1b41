// SPDX-License-Identifier: MIT
// ctest: concurrency
// How executors that share the test's memory try tasks again.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <muster/detail/attempts.hpp>

#include "support/event.hpp"
#include "support/executors.hpp"
#include "support/tries.hpp"

namespace task_retries_local_test {

namespace {

using muster::Future;
using muster::StopToken;
using muster::ThreadPoolExecutor;
using muster::test::await_delay;
using muster::test::Event;
using muster::test::succeed_at;
using muster::test::Tries;
using muster::test::until_stopped_before;
using namespace std::chrono_literals;

/// Runs each task in a thread of its own.
class ThreadPerTask : public muster::ExecutorInterface<ThreadPerTask> {
  public:
    ~ThreadPerTask() {
        shutdown();
        for (std::thread& thread : threads_) thread.join();
    }
    void take(muster::Task task) { threads_.emplace_back(std::move(task)); }
    void shutdown(muster::ShutdownOptions options = {}) { close(options); }
    [[nodiscard]] std::size_t max_workers() const { return 8; }
    [[nodiscard]] std::thread::id only_thread() const { return threads_.at(0).get_id(); }

  private:
    std::vector<std::thread> threads_;
};

/// A value whose copies are counted, and which says whether it was moved from.
struct Counted {
    explicit Counted(std::atomic<int>& count) : copies{&count} {}
    Counted(const Counted& other) : copies{other.copies}, whole{other.whole} { ++*copies; }
    Counted(Counted&& other) noexcept
        : copies{other.copies}, whole{std::exchange(other.whole, false)} {}

    std::atomic<int>* copies;
    bool whole = true;
};

}  // namespace

TEST_CASE_TEMPLATE("what cannot be copied is refused when it is to be tried again", E,
                   EVERY_LOCAL_EXECUTOR) {
    E pool;
    const auto read = [](const std::unique_ptr<int>& p) { return *p; };
    const auto first = [](const std::vector<std::unique_ptr<int>>& all) { return *all.front(); };
    const auto elements = [] {
        std::vector<std::unique_ptr<int>> all;
        all.push_back(std::make_unique<int>(4));
        return all;
    };

    CHECK_THROWS_AS((void)pool.submit({.retries = 1}, read, std::make_unique<int>(3)),
                    std::invalid_argument);
    CHECK_THROWS_AS((void)pool.try_submit({.retries = 1}, first, elements()),
                    std::invalid_argument);
    CHECK_THROWS_AS(pool.post({.retries = 1}, [p = std::make_unique<int>(3)] { return *p; }),
                    std::invalid_argument);

    CHECK(pool.submit({.name = "once"}, read, std::make_unique<int>(3)).result() == 3);
    CHECK(pool.submit({.name = "once"}, first, elements()).result() == 4);
    pool.wait_idle();
    CHECK(pool.stats().completed == 2);
}

TEST_CASE_TEMPLATE("all attempts but the last get copies", E, EVERY_LOCAL_EXECUTOR) {
    E pool;
    std::atomic<int> copies{0};
    std::atomic<int> whole{0};

    auto task = pool.submit(
        {.retries = 2},
        [&whole](Counted counted) -> int {
            whole += counted.whole;
            throw std::runtime_error("fails");
        },
        Counted(copies));

    task.wait();
    CHECK(whole == 3);
    CHECK(copies == 2);
}

TEST_CASE_TEMPLATE("the callable and its arguments live no longer than the attempts", E,
                   EVERY_LOCAL_EXECUTOR) {
    E pool;
    for (const bool fails : {false, true}) {
        auto argument = std::make_shared<int>(fails ? 100 : 2);
        const std::weak_ptr<int> alive = argument;
        const Tries tries;
        auto task = pool.submit(
            {.retries = 3},
            [path = tries.path()](const std::shared_ptr<int>& wanted) {
                return succeed_at(path, *wanted);
            },
            std::move(argument));
        task.wait();
        CHECK(alive.expired());
    }
}

TEST_CASE("without a queue of the executor's own the next attempt is made in the same thread") {
    ThreadPerTask pool;
    const Tries tries;
    auto thread = pool.submit({.retries = 2, .retry_delay = 1ms}, [path = tries.path()] {
        succeed_at(path, 3);
        return std::this_thread::get_id();
    });
    CHECK(thread.result() == pool.only_thread());
    CHECK(tries.count() == 3);
}

TEST_CASE("cancelling or stopping a task ends a delay that its thread waits for") {
    for (const bool stops : {false, true}) {
        CAPTURE(stops);
        ThreadPerTask pool;
        const Tries tries;
        auto task = pool.submit({.retries = 2, .retry_delay = 24h}, succeed_at, tries.path(), 3);
        await_delay(task, tries);

        CHECK((stops ? task.request_stop() : task.cancel()));

        CHECK(task.done());
        CHECK(task.cancelled() == !stops);
        pool.shutdown();
        CHECK(tries.count() == 1);
    }
}

TEST_CASE("a posted task reports only the error of its last attempt") {
    std::mutex mutex;
    std::vector<std::string> reported;
    const Tries tries;
    const Tries slow;
    {
        ThreadPoolExecutor pool({.max_workers = 1, .on_error = [&](std::exception_ptr error) {
                                     const std::lock_guard held(mutex);
                                     try {
                                         std::rethrow_exception(error);
                                     } catch (const muster::TaskTimeout&) {
                                         reported.push_back("TaskTimeout");
                                     } catch (const std::exception& e) {
                                         reported.push_back(e.what());
                                     }
                                 }});
        pool.post({.retries = 2}, succeed_at, tries.path(), 10);
        pool.wait_idle();
        pool.post({.timeout = 1ms, .retries = 1}, until_stopped_before, slow.path(), 10);
    }
    CHECK(reported == std::vector<std::string>{"attempt 3", "TaskTimeout"});
}

TEST_CASE("no attempt begins before the one before it has ended") {
    ThreadPoolExecutor pool(2);
    const Event stopped;
    const Event gate;
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    std::atomic<int> attempts{0};
    auto task = pool.submit({.timeout = 1ms, .retries = 1}, [&, stopped, gate](StopToken stop) {
        most = std::max(most.load(), ++running);
        if (++attempts == 1) {
            while (!stop.stop_requested()) std::this_thread::yield();
            stopped.set();
            gate.wait();
        }
        --running;
        return attempts.load();
    });

    stopped.wait();
    CHECK_FALSE(task.wait_for(5ms));  // Its time is up, but there is another attempt.
    CHECK(attempts == 1);
    gate.set();
    pool.wait_idle();

    CHECK(attempts == 2);
    CHECK(most == 1);
}

TEST_CASE("the last attempt's time limit settles the future while it runs") {
    ThreadPoolExecutor pool(1);
    const Event gate;
    std::atomic<int> attempts{0};
    auto task = pool.submit({.timeout = 1ms, .retries = 1}, [&, gate](StopToken stop) {
        if (++attempts == 2) return gate.wait();
        while (!stop.stop_requested()) std::this_thread::yield();
    });

    CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
    CHECK_FALSE(pool.wait_idle_for(1ms));
    gate.set();
    pool.wait_idle();
    CHECK(attempts == 2);
    CHECK(pool.stats().timed_out == 1);
}

TEST_CASE("a stop requested after a time limit has passed ends the attempts too") {
    ThreadPoolExecutor pool(1);
    const Event asked;
    const Event gate;
    auto task = pool.submit({.timeout = 1ms, .retries = 5}, [asked, gate](StopToken stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
        asked.set();
        gate.wait();
    });
    asked.wait();

    CHECK(task.request_stop());  // The time limit has asked already; now the user does.
    gate.set();

    CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
    pool.wait_idle();
    CHECK(pool.stats().retried == 0);
    CHECK(pool.stats().timed_out == 1);
    CHECK(pool.stats().failed == 0);
}

TEST_CASE("a task may wait for one that is tried again, with a single worker") {
    ThreadPoolExecutor pool(1);
    for (const auto delay : {0ms, 2ms}) {
        const Tries tries;
        auto outer = pool.submit([&] {
            return pool.submit({.retries = 2, .retry_delay = delay}, succeed_at, tries.path(), 3)
                .result();
        });
        CHECK(outer.result() == 3);
    }
}

TEST_CASE("a worker that gives up waiting leaves the further attempts to the pool") {
    ThreadPoolExecutor pool(1);
    const Tries tries;
    // Inside the pool's queue, not its newest: so the waiting worker runs it ahead.
    auto outer = pool.submit([&] {
        auto task = pool.submit({.retries = 3, .retry_delay = 5ms}, succeed_at, tries.path(), 4);
        auto newest = pool.submit([] {});
        const bool done = task.wait_for(1ms);
        return std::pair(task, done);
    });
    const auto [task, done] = outer.result();
    CHECK_FALSE(done);
    CHECK(task.result() == 4);
    pool.wait_idle();
    CHECK(pool.stats().completed == 3);
    CHECK(pool.stats().retried == 3);
}

TEST_CASE("a worker that waits for a task does not cut its delay short") {
    ThreadPoolExecutor pool(1);
    const Tries tries;
    auto outer = pool.submit([&] {
        const auto begin = std::chrono::steady_clock::now();
        pool.submit({.retries = 1, .retry_delay = 20ms}, succeed_at, tries.path(), 2).wait();
        return std::chrono::steady_clock::now() - begin;
    });
    CHECK(outer.result() >= 20ms);
    CHECK(tries.count() == 2);
}

TEST_CASE("a pool whose tasks were tried again leaves nothing behind, nor do those cancelled") {
    auto kept = std::make_shared<int>(1);
    const std::weak_ptr<int> alive = kept;
    const Tries delayed;
    const Tries ahead;
    {
        ThreadPoolExecutor pool(
            {.max_workers = 1, .on_error = [kept = std::move(kept)](std::exception_ptr) {}});
        auto task = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, delayed.path(), 2);
        while (delayed.count() == 0 || task.running()) std::this_thread::yield();
        CHECK(task.cancel());
        auto outer = pool.submit([&] {
            auto older = pool.submit({.retries = 2}, succeed_at, ahead.path(), 3);
            auto newest = pool.submit([] {});  // So the worker leaves the older one in its queue.
            return older.result();
        });
        CHECK(outer.result() == 3);
    }
    CHECK(alive.expired());
}

TEST_CASE("many tasks are tried again, waited for, stopped and cancelled at the same time") {
    ThreadPoolExecutor pool(3);
    constexpr std::size_t count = 300;
    std::vector<std::atomic<int>> attempts(count);
    std::vector<std::atomic<bool>> busy(count);
    std::atomic<bool> overlap{false};
    std::vector<Future<int>> futures;
    for (std::size_t i = 0; i < count; ++i)
        futures.push_back(
            pool.submit({.priority = static_cast<int>(i % 3) - 1,
                         .timeout = std::chrono::microseconds(i % 7 == 0 ? 20 : 1'000'000),
                         .retries = 3,
                         .retry_delay = std::chrono::microseconds(i % 2 == 0 ? 0 : 50)},
                        [&, i](StopToken) {
                            if (busy[i].exchange(true)) overlap = true;
                            const int number = ++attempts[i];
                            std::this_thread::sleep_for(std::chrono::microseconds(i % 50));
                            busy[i] = false;
                            if (number < 3) throw std::runtime_error("again");
                            return number;
                        }));
    std::thread stopper([&] {
        for (std::size_t i = 0; i < count; i += 5) futures[i].request_stop();
    });
    std::thread canceller([&] {
        for (std::size_t i = 2; i < count; i += 11) futures[i].cancel();
    });
    auto waiter = pool.submit([&] {
        for (std::size_t i = 0; i < count; i += 3) futures[i].wait();
    });
    stopper.join();
    canceller.join();
    waiter.wait();
    pool.wait_idle();

    CHECK_FALSE(overlap);
    for (std::size_t i = 0; i < count; ++i) {
        CHECK(futures[i].done());
        CHECK(attempts[i] <= 4);
    }
    const muster::ExecutorStats stats = pool.stats();
    CHECK(stats.completed + stats.failed + stats.timed_out + stats.cancelled == count + 1);
    CHECK(stats.pending == 0);
    CHECK(stats.running == 0);
}

TEST_CASE("the delays double without overflow") {
    using muster::detail::retry_delay;
    constexpr auto longest = std::chrono::nanoseconds::max();
    CHECK(retry_delay(3s, 1) == 3s);
    CHECK(retry_delay(3s, 2) == 6s);
    CHECK(retry_delay(3s, 5) == 48s);
    CHECK(retry_delay(1ns, 63) == std::chrono::nanoseconds(std::int64_t{1} << 62));
    CHECK(retry_delay(1ns, 64) == longest);
    CHECK(retry_delay(2ns, 63) == longest);
    CHECK(retry_delay(1h, std::numeric_limits<std::size_t>::max()) == longest);
    CHECK(retry_delay(longest, 1) == longest);
    CHECK(retry_delay(longest, 2) == longest);
    CHECK(retry_delay(0ns, 100) == 0ns);
    CHECK(retry_delay(-1s, 3) == 0ns);
}

TEST_CASE_TEMPLATE("a shutdown that cancels ends the delay before a retry at once", E,
                   EVERY_LOCAL_EXECUTOR) {
    E pool;
    Tries tries;
    Future<int> task;
    std::thread other([&] {
        task = pool.submit({.retries = 1, .retry_delay = 1h}, succeed_at, tries.path(), 2);
    });
    while (tries.count() == 0 || pool.stats().running != 0) std::this_thread::yield();
    pool.shutdown({.cancel_futures = true});
    other.join();
    CHECK(task.cancelled());
    CHECK(tries.count() == 1);
    CHECK(pool.stats().cancelled == 1);
}

}  // namespace task_retries_local_test
