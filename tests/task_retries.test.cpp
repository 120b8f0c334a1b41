// SPDX-License-Identifier: MIT
// ctest: concurrency
// What becomes of tasks that may be tried again: TaskOptions::retries and retry_delay.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <muster/detail/attempts.hpp>

#include "support/event.hpp"
#include "support/executors.hpp"
#include "support/task_gate.hpp"

// Tasks of the first two are given neither captures nor references, so that a worker may be another
// process; the others share the test's memory.
#define EVERY_RETRYING_EXECUTOR EVERY_LOCAL_EXECUTOR
#define EVERY_RETRYING_POOL muster::ThreadPoolExecutor

namespace {

using muster::Future;
using muster::StopToken;
using muster::ThreadPoolExecutor;
using muster::test::Event;
using muster::test::TaskGate;
using namespace std::chrono_literals;

/// Counts the attempts of tasks, which know it by its path. One attempt at a time.
class Tries {
  public:
    Tries() {
        static std::atomic<int> number{0};
        path_ = gate_.path() + "/tries" + std::to_string(number++);
    }
    ~Tries() { std::filesystem::remove(path_); }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int count() const { return size_of(path_); }

    /// The number of this attempt, from 1.
    static int next(const std::string& path) {
        std::ofstream(path, std::ios::app) << 'x';
        return size_of(path);
    }

  private:
    static int size_of(const std::string& path) {
        std::error_code none_yet;
        const auto size = std::filesystem::file_size(path, none_yet);
        return none_yet ? 0 : static_cast<int>(size);
    }
    TaskGate gate_;  // For its folder.
    std::string path_;
};

int succeed_at(const std::string& path, int wanted) {
    const int number = Tries::next(path);
    if (number < wanted) throw std::out_of_range("attempt " + std::to_string(number));
    return number;
}

int until_stopped_before(StopToken stop, const std::string& path, int wanted) {
    const int number = Tries::next(path);
    while (number < wanted && !stop.stop_requested()) std::this_thread::yield();
    return stop.stop_requested() ? -number : number;
}

std::string message_of(const Future<int>& task) {
    try {
        return std::to_string(task.result());
    } catch (const std::exception& error) {
        return error.what();
    }
}

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

TEST_CASE_TEMPLATE("a task that fails is tried again until an attempt succeeds", E,
                   EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task = pool.submit({.retries = 5}, succeed_at, tries.path(), 3);

    CHECK(task.result() == 3);
    pool.wait_idle();
    CHECK(tries.count() == 3);
    CHECK(pool.stats().completed == 1);
    CHECK(pool.stats().failed == 0);
    CHECK(pool.stats().retried == 2);
    CHECK(pool.stats().pending == 0);
    CHECK(pool.stats().running == 0);
}

TEST_CASE_TEMPLATE("when all attempts have failed the future holds the last one's error", E,
                   EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task = pool.submit({.retries = 2}, succeed_at, tries.path(), 10);

    CHECK_THROWS_AS(task.result(), std::out_of_range);
    CHECK(message_of(task) == "attempt 3");
    pool.wait_idle();
    CHECK(tries.count() == 3);
    CHECK(pool.stats().completed == 0);
    CHECK(pool.stats().failed == 1);
    CHECK(pool.stats().retried == 2);
}

TEST_CASE_TEMPLATE("a task without retries is tried once", E, EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task = pool.submit({.name = "once"}, succeed_at, tries.path(), 10);

    CHECK(message_of(task) == "attempt 1");
    pool.wait_idle();
    CHECK(pool.stats().retried == 0);
}

TEST_CASE_TEMPLATE("try_submit and post try again as submit does", E, EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tried;
    const Tries posted;

    auto task = pool.try_submit({.retries = 1}, succeed_at, tried.path(), 2);
    pool.post({.retries = 1}, succeed_at, posted.path(), 2);

    REQUIRE(task);
    CHECK(task->result() == 2);
    pool.wait_idle();
    CHECK(posted.count() == 2);
    CHECK(pool.stats().retried == 2);
}

TEST_CASE_TEMPLATE("each attempt gets the arguments as they were submitted", E,
                   EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task = pool.submit(
        {.retries = 2},
        [](std::string text, const std::string& path) {
            text += std::to_string(Tries::next(path));
            if (text.back() != '3') throw std::runtime_error(text);
            return text;
        },
        "attempt ", tries.path());

    CHECK(task.result() == "attempt 3");
}

TEST_CASE_TEMPLATE("the delay doubles from one attempt to the next", E, EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tries;
    const auto begin = std::chrono::steady_clock::now();

    auto task = pool.submit({.retries = 3, .retry_delay = 10ms}, succeed_at, tries.path(), 4);

    CHECK(task.result() == 4);
    CHECK(std::chrono::steady_clock::now() - begin >= 70ms);
}

TEST_CASE_TEMPLATE("an attempt that runs past its time limit is tried again", E,
                   EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task =
        pool.submit({.timeout = 100ms, .retries = 2}, until_stopped_before, tries.path(), 2);

    CHECK(task.result() == 2);  // Its token is a fresh one.
    pool.wait_idle();
    CHECK(tries.count() == 2);
    CHECK(pool.stats().completed == 1);
    CHECK(pool.stats().timed_out == 0);
    CHECK(pool.stats().retried == 1);
}

TEST_CASE_TEMPLATE("when all attempts have run past their limit the future holds TaskTimeout", E,
                   EVERY_RETRYING_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task = pool.submit({.name = "the slow one", .timeout = 1ms, .retries = 2},
                            until_stopped_before, tries.path(), 10);

    CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
    CHECK(message_of(task).find("the slow one") != std::string::npos);
    pool.wait_idle();
    CHECK(tries.count() == 3);
    CHECK(pool.stats().timed_out == 1);
    CHECK(pool.stats().failed == 0);
    CHECK(pool.stats().completed == 0);
    CHECK(pool.stats().retried == 2);
    CHECK(pool.stats().running == 0);
}

TEST_CASE_TEMPLATE("other tasks run during the delay, and wait_idle waits for it", E,
                   EVERY_RETRYING_POOL) {
    E pool(1);
    const Tries tries;

    auto task = pool.submit({.retries = 1, .retry_delay = 50ms}, succeed_at, tries.path(), 2);
    auto behind = pool.submit([](const std::string& path) { return Tries::next(path); },
                              tries.path() + "behind");

    CHECK(behind.result() == 1);
    CHECK_FALSE(task.done());
    pool.wait_idle();
    CHECK(task.done());
    CHECK(task.result() == 2);
    std::filesystem::remove(tries.path() + "behind");
}

TEST_CASE_TEMPLATE("a task can be cancelled during the delay", E, EVERY_RETRYING_POOL) {
    E pool(1);
    const Tries tries;
    auto task = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, tries.path(), 2);
    while (tries.count() == 0 || task.running()) std::this_thread::yield();

    CHECK(pool.stats().pending == 1);
    CHECK(task.cancel());

    CHECK(task.cancelled());
    pool.wait_idle();
    CHECK(tries.count() == 1);
    CHECK(pool.stats().cancelled == 1);
    CHECK(pool.stats().failed == 0);
    CHECK(pool.stats().pending == 0);
    CHECK(pool.stats().running == 0);
}

TEST_CASE_TEMPLATE("shutdown waits for further attempts", E, EVERY_RETRYING_POOL) {
    const Tries tries;
    Future<int> task;
    {
        E pool(1);
        task = pool.submit({.retries = 2, .retry_delay = 2ms}, succeed_at, tries.path(), 3);
        pool.shutdown();
        CHECK(task.done());
    }
    CHECK(task.result() == 3);
}

TEST_CASE_TEMPLATE("cancel_futures cancels the further attempts", E, EVERY_RETRYING_POOL) {
    E pool(1);
    const Tries tries;
    const Tries running;
    const TaskGate gate;
    auto delayed = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, tries.path(), 2);
    while (tries.count() == 0 || delayed.running()) std::this_thread::yield();
    auto fails = pool.submit(
        {.retries = 1, .retry_delay = 24h},
        [](const std::string& path, const std::string& held) {
            TaskGate::pass(held, 'a');
            return succeed_at(path, 2);
        },
        running.path(), gate.path());
    CHECK(gate.arrival() == 'a');

    pool.shutdown({.wait = false, .cancel_futures = true});
    CHECK(delayed.cancelled());
    const_cast<TaskGate&>(gate).open();
    pool.shutdown();

    CHECK(fails.done());
    CHECK(running.count() == 1);
}

TEST_CASE_TEMPLATE("after a request to stop there is no further attempt", E, EVERY_RETRYING_POOL) {
    E pool(1);
    const Tries tries;
    TaskGate gate;
    auto task = pool.submit(
        {.retries = 5},
        [](StopToken stop, const std::string& path, const std::string& held) {
            const int number = Tries::next(path);
            TaskGate::arrive(held, 'a');
            while (!stop.stop_requested()) std::this_thread::yield();
            throw std::out_of_range("attempt " + std::to_string(number));
            return number;
        },
        tries.path(), gate.path());
    CHECK(gate.arrival() == 'a');

    CHECK(task.request_stop());

    CHECK(message_of(task) == "attempt 1");
    pool.wait_idle();
    CHECK(tries.count() == 1);
    CHECK(pool.stats().failed == 1);
    CHECK(pool.stats().retried == 0);
}

TEST_CASE_TEMPLATE("a request to stop during the delay settles the future", E,
                   EVERY_RETRYING_POOL) {
    E pool(1);
    const Tries tries;
    auto task = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, tries.path(), 2);
    while (tries.count() == 0 || task.running()) std::this_thread::yield();

    CHECK(task.request_stop());

    CHECK(message_of(task) == "attempt 1");
    pool.wait_idle();
    CHECK(tries.count() == 1);
    CHECK(pool.stats().failed == 1);
    CHECK(pool.stats().pending == 0);
    CHECK(pool.stats().running == 0);
}

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
        while (tries.count() == 0 || task.running()) std::this_thread::yield();

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
    task.wait();

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
