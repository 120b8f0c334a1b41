// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What becomes of tasks that may be tried again: TaskOptions::retries and retry_delay. What only
// those executors promise that share the test's memory is in task_retries_local.test.cpp.
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/executors.hpp"
#include "support/task_gate.hpp"
#include "support/tries.hpp"

namespace task_retries_test {

namespace {

using muster::Future;
using muster::StopToken;
using muster::test::await_delay;
using muster::test::message_of;
using muster::test::succeed_at;
using muster::test::TaskGate;
using muster::test::Tries;
using muster::test::until_stopped_before;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE_TEMPLATE("a task that fails is tried again until an attempt succeeds", E,
                   EVERY_EXECUTOR) {
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
                   EVERY_EXECUTOR) {
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

TEST_CASE_TEMPLATE("a task without retries is tried once", E, EVERY_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task = pool.submit({.name = "once"}, succeed_at, tries.path(), 10);

    CHECK(message_of(task) == "attempt 1");
    pool.wait_idle();
    CHECK(pool.stats().retried == 0);
}

TEST_CASE_TEMPLATE("try_submit and post try again as submit does", E, EVERY_EXECUTOR) {
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

TEST_CASE_TEMPLATE("each attempt gets the arguments as they were submitted", E, EVERY_EXECUTOR) {
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

TEST_CASE_TEMPLATE("the delay doubles from one attempt to the next", E, EVERY_EXECUTOR) {
    E pool;
    const Tries tries;
    const auto begin = std::chrono::steady_clock::now();

    auto task = pool.submit({.retries = 3, .retry_delay = 10ms}, succeed_at, tries.path(), 4);

    CHECK(task.result() == 4);
    CHECK(std::chrono::steady_clock::now() - begin >= 70ms);
}

TEST_CASE_TEMPLATE("an attempt that runs past its time limit is tried again", E, EVERY_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task =
        pool.submit({.timeout = 500ms, .retries = 20}, until_stopped_before, tries.path(), 2);

    const int last = task.result();  // The second, unless the machine is very slow.
    CHECK(last >= 2);                // Its token is a fresh one: else this is negative.
    pool.wait_idle();
    CHECK(tries.count() == last);
    CHECK(pool.stats().completed == 1);
    CHECK(pool.stats().timed_out == 0);
    CHECK(pool.stats().retried >= static_cast<std::size_t>(last - 1));
}

TEST_CASE_TEMPLATE("when all attempts have run past their limit the future holds TaskTimeout", E,
                   EVERY_EXECUTOR) {
    E pool;
    const Tries tries;

    auto task = pool.submit({.name = "the slow one", .timeout = 1ms, .retries = 2},
                            until_stopped_before, tries.path(), 10);

    CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
    CHECK(message_of(task).find("the slow one") != std::string::npos);
    pool.wait_idle();
    CHECK(pool.stats().timed_out == 1);
    CHECK(pool.stats().failed == 0);
    CHECK(pool.stats().completed == 0);
    CHECK(pool.stats().retried == 2);
    CHECK(pool.stats().running == 0);
}

TEST_CASE_TEMPLATE("other tasks run during the delay, and wait_idle waits for it", E, EVERY_POOL) {
    E pool(1);
    const Tries tries;

    auto task = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, tries.path(), 2);
    auto behind = pool.submit([](const std::string& path) { return Tries::next(path); },
                              tries.path() + "behind");

    CHECK(behind.result() == 1);
    await_delay(task, tries);
    CHECK_FALSE(task.done());
    CHECK_FALSE(pool.wait_idle_for(50ms));
    CHECK(task.cancel());
    pool.wait_idle();
    std::filesystem::remove(tries.path() + "behind");
}

TEST_CASE_TEMPLATE("a task can be cancelled during the delay", E, EVERY_POOL) {
    E pool(1);
    const Tries tries;
    auto task = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, tries.path(), 2);
    await_delay(task, tries);

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

TEST_CASE_TEMPLATE("shutdown waits for further attempts", E, EVERY_POOL) {
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

TEST_CASE_TEMPLATE("cancel_futures cancels the further attempts", E, EVERY_POOL) {
    E pool(1);
    const Tries tries;
    const Tries running;
    TaskGate gate;
    auto delayed = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, tries.path(), 2);
    await_delay(delayed, tries);
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
    gate.open();
    pool.shutdown();

    CHECK(message_of(fails) == "attempt 1");
    CHECK(running.count() == 1);
    CHECK(pool.stats().failed == 1);
    CHECK(pool.stats().cancelled == 1);
}

TEST_CASE_TEMPLATE("after a request to stop there is no further attempt", E, EVERY_POOL) {
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

TEST_CASE_TEMPLATE("a request to stop during the delay settles the future", E, EVERY_POOL) {
    E pool(1);
    const Tries tries;
    auto task = pool.submit({.retries = 1, .retry_delay = 24h}, succeed_at, tries.path(), 2);
    await_delay(task, tries);

    CHECK(task.request_stop());

    CHECK(message_of(task) == "attempt 1");
    pool.wait_idle();
    CHECK(tries.count() == 1);
    CHECK(pool.stats().failed == 1);
    CHECK(pool.stats().pending == 0);
    CHECK(pool.stats().running == 0);
}

}  // namespace task_retries_test
