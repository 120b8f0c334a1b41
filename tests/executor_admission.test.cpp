// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// How every executor takes tasks in, with and without a future, and how it counts them.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/event.hpp"
#include "support/executors.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace executor_admission_test {

namespace {

using muster::Future;
using muster::test::Event;
using muster::test::TaskGate;
using muster::test::with_workers;
using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }
int throws(int x) { throw std::out_of_range("no element " + std::to_string(x)); }
void nothing() {}

}  // namespace

TEST_CASE_TEMPLATE("try_submit has a future where there is room", E, EVERY_EXECUTOR) {
    E pool;

    std::optional<Future<int>> future = pool.try_submit(twice, 5);

    REQUIRE(future);
    CHECK(future->result() == 10);
}

TEST_CASE_TEMPLATE("a full pool turns try_submit away and lets submit wait", E, EVERY_POOL) {
    E pool({.max_workers = 1, .max_pending = 2});
    TaskGate gate;
    auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto pending = pool.submit(twice, 1);
    gate.arrival();

    CHECK_FALSE(pool.try_submit(twice, 2));
    std::optional<Future<int>> late;
    const Event submitted;
    std::thread submitter([&, submitted] {
        late = pool.submit(twice, 3);
        submitted.set();
    });
    CHECK_FALSE(submitted.wait_for(5ms));
    gate.open();
    submitter.join();

    CHECK(late.value().result() == 6);
    CHECK(pending.result() == 2);
    pool.wait_idle();
    CHECK(pool.try_submit(twice, 4).value().result() == 8);
}

TEST_CASE_TEMPLATE("try_submit leaves the arguments to who is turned away", E, EVERY_POOL) {
    E pool({.max_workers = 1, .max_pending = 1});
    TaskGate gate;
    pool.post(TaskGate::pass, gate.path(), 'a');
    const auto read = [](std::unique_ptr<int> number) { return *number; };
    auto number = std::make_unique<int>(7);

    CHECK_FALSE(pool.try_submit(read, std::move(number)));
    REQUIRE(number);
    CHECK_FALSE(pool.try_submit({.priority = 1}, read, std::move(number)));
    REQUIRE(number);
    gate.open();
    pool.wait_idle();
    CHECK(pool.try_submit(read, std::move(number)).value().result() == 7);
}

namespace {

/// Cannot be copied, nor encoded.
struct Obstinate {
    Obstinate() = default;
    Obstinate(const Obstinate& /*other*/) { throw std::domain_error("not to be copied"); }
    template <typename Archive>
    void serialize(Archive& /*ar*/) {
        throw std::domain_error("not to be encoded");
    }
};

}  // namespace

TEST_CASE_TEMPLATE("try_submit that throws leaves no task and takes no room", E, EVERY_POOL) {
    E pool({.max_workers = 1, .max_pending = 1});
    const Obstinate argument;
    for (int i = 0; i < 3; ++i)
        CHECK_THROWS_AS((void)pool.try_submit([](const Obstinate&) {}, argument),
                        std::domain_error);
    pool.wait_idle();
    CHECK(pool.stats().pending == 0);
    CHECK(pool.try_submit(twice, 4).value().result() == 8);
}

TEST_CASE("a task of a full pool may submit to it in every way") {
    muster::ThreadPoolExecutor pool({.max_workers = 1, .max_pending = 1});
    const auto inner = pool.submit([&pool] {
        pool.post([] {});
        return std::pair(pool.submit(twice, 1), pool.try_submit(twice, 2));
    });
    CHECK(inner.result().first.result() == 2);
    REQUIRE(inner.result().second);
    CHECK(inner.result().second->result() == 4);
}

TEST_CASE_TEMPLATE("a cancelled task makes room", E, EVERY_POOL) {
    E pool({.max_workers = 1, .max_pending = 2});
    TaskGate gate;
    pool.post(TaskGate::pass, gate.path(), 'a');
    auto pending = pool.submit(twice, 1);
    gate.arrival();
    REQUIRE_FALSE(pool.try_submit(twice, 2));

    pending.cancel();

    CHECK(pool.try_submit(twice, 3).has_value());
}

TEST_CASE_TEMPLATE("post runs without a future", E, EVERY_EXECUTOR) {
    E pool;
    TaskGate gate;

    pool.post(TaskGate::arrive, gate.path(), 'a');
    pool.post({.name = "posted"}, TaskGate::arrive, gate.path(), 'b');
    pool.post(
        [](muster::StopToken stop, const std::string& path) {
            TaskGate::arrive(path, stop.stop_requested() ? 's' : 'c');
        },
        gate.path());
    pool.wait_idle();

    std::string arrived = gate.arrived();
    std::sort(arrived.begin(), arrived.end());
    CHECK(arrived == "abc");
    CHECK(pool.stats().completed == 3);
}

TEST_CASE_TEMPLATE("post drops what the call returns, whatever it is", E, EVERY_EXECUTOR) {
    E pool;
    TaskGate gate;
    const auto file = [](const std::string& path) {
        TaskGate::arrive(path, 'a');
        return stderr;
    };
    const auto stream = [](muster::StopToken, const std::string& path) -> std::ostream& {
        TaskGate::arrive(path, 'b');
        return std::cout;
    };

    pool.post(file, gate.path());
    pool.post({.name = "streaming"}, stream, gate.path());
    pool.wait_idle();

    std::string arrived = gate.arrived();
    std::sort(arrived.begin(), arrived.end());
    CHECK(arrived == "ab");
    CHECK(pool.stats().completed == 2);
}

TEST_CASE("program: posts what throws" * doctest::skip()) {
    ::dup2(STDOUT_FILENO, STDERR_FILENO);
    const auto post = [](auto&& pool) {
        pool.post(throws, 7);
        pool.wait_idle();
        pool.post({.name = "load"}, throws, 8);
        pool.wait_idle();
        const auto fails = [](const auto&) { throw std::domain_error("in a callback"); };
        pool.submit({.name = "show"}, nothing).add_done_callback(fails);
        pool.wait_idle();
    };
    const std::string kind = muster::test::argument_of_program();
    if (kind == "inline") post(muster::InlineExecutor());
    if (kind == "threads") post(muster::ThreadPoolExecutor(1));
    if (kind == "processes") post(muster::test::ProcessPool(1));
}

TEST_CASE("without on_error what a posted task throws is a line on stderr") {
    for (const std::string kind : {"inline", "threads", "processes"}) {
        CAPTURE(kind);
        CHECK(muster::test::Program::test_case("posts what throws", kind).rest() ==
              "muster: unhandled exception in a task: no element 7\n"
              "muster: unhandled exception in task 'load': no element 8\n"
              "muster: unhandled exception in a callback of task 'show': in a callback\n");
    }
}

TEST_CASE_TEMPLATE("what a posted task throws goes to on_error", E, EVERY_POOL) {
    std::mutex mutex;
    std::vector<std::string> messages;
    E pool({.max_workers = 2, .on_error = [&](std::exception_ptr error) {
                try {
                    std::rethrow_exception(std::move(error));
                } catch (const std::out_of_range& thrown) {
                    const std::lock_guard held(mutex);
                    messages.emplace_back(thrown.what());
                }
            }});

    pool.post(throws, 7);
    pool.post(twice, 1);
    pool.wait_idle();

    CHECK(messages == std::vector<std::string>{"no element 7"});
    CHECK(pool.stats().failed == 1);
}

TEST_CASE_TEMPLATE("what a callback throws goes to on_error and disturbs nobody", E, EVERY_POOL) {
    std::mutex mutex;
    std::vector<std::string> messages;
    E pool({.max_workers = 1, .on_error = [&](std::exception_ptr error) {
                try {
                    std::rethrow_exception(std::move(error));
                } catch (const std::exception& thrown) {
                    const std::lock_guard held(mutex);
                    messages.emplace_back(thrown.what());
                }
            }});
    TaskGate gate;
    bool next_was_called = false;
    auto task = pool.submit(TaskGate::pass, gate.path(), 'a');
    task.add_done_callback([](const auto&) { throw std::runtime_error("callback"); });
    task.add_done_callback([&](const auto&) { next_was_called = true; });
    gate.open();
    pool.wait_idle();

    CHECK(messages == std::vector<std::string>{"callback"});
    CHECK(next_was_called);
    CHECK(task.result() == 'a');
}

TEST_CASE_TEMPLATE("stats count each task once", E, EVERY_EXECUTOR) {
    E pool = with_workers<E>(2);
    for (int i = 0; i < 5; ++i) (void)pool.submit(twice, i);
    for (int i = 0; i < 3; ++i) (void)pool.submit(throws, i);
    pool.post(nothing);
    pool.wait_idle();

    const auto stats = pool.stats();

    CHECK(stats.pending == 0);
    CHECK(stats.running == 0);
    CHECK(stats.completed == 6);
    CHECK(stats.failed == 3);
    CHECK(stats.cancelled == 0);
    CHECK(stats.timed_out == 0);
    CHECK(stats.retried == 0);
    CHECK(stats.waiting_time >= 0ns);
    CHECK(stats.running_time > 0ns);
}

TEST_CASE_TEMPLATE("stats tell what waits, what runs and what was cancelled", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    CHECK(pool.stats().pending == 0);
    pool.post(TaskGate::pass, gate.path(), 'a');
    gate.arrival();
    auto one = pool.submit(twice, 1);
    auto two = pool.submit(twice, 2);
    one.cancel();
    auto stats = pool.stats();
    CHECK(stats.running == 1);
    CHECK(stats.pending == 1);
    CHECK(stats.cancelled == 1);
    CHECK(stats.completed == 0);
    std::this_thread::sleep_for(2ms);  // To be found in both times; how much more is not said.
    gate.open();
    pool.wait_idle();

    stats = pool.stats();
    CHECK(stats.running == 0);
    CHECK(stats.pending == 0);
    CHECK(stats.cancelled == 1);
    CHECK(stats.completed == 2);
    CHECK(stats.running_time >= 2ms);
    CHECK(stats.waiting_time >= 2ms);
}

}  // namespace executor_admission_test
