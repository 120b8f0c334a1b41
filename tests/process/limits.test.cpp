// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What ends a task before it ends by itself, and what is done about tasks that failed.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/attempts.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace process_limits_test {

namespace {

using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::test::Attempts;
using muster::test::TaskGate;
using namespace std::chrono_literals;

[[noreturn]] void run_for_ever() {
    for (;;) ::pause();
}
int own_pid() { return static_cast<int>(::getpid()); }

}  // namespace

TEST_CASE("a task past its time limit is killed, its future has TaskTimeout and others run on") {
    ProcessPoolExecutor pool(2);
    auto endless = pool.submit({.name = "endless", .timeout = 50ms}, run_for_ever);
    std::vector<muster::Future<int>> others;
    for (int i = 0; i < 20; ++i) others.push_back(pool.submit(own_pid));
    REQUIRE(endless.wait_for(200s));
    try {
        endless.result();
        FAIL("no error");
    } catch (const muster::TaskTimeout& error) {
        CHECK(
            std::string(error.what()).find("task 'endless' ran longer than its timeout of 0.05") !=
            std::string::npos);
    }
    for (auto& other : others) CHECK(other.result() > 0);
    pool.wait_idle();
    const auto stats = pool.stats();
    CHECK(stats.timed_out == 1);
    CHECK(stats.completed == 20);
    CHECK(stats.failed == 0);
    CHECK(stats.crashed == 0);
    CHECK(stats.running == 0);
    CHECK(stats.pending == 0);
}

TEST_CASE("a time limit counts from the task's start, not while it waits") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    auto second = pool.submit({.timeout = 2s}, [] { return 1; });
    CHECK_FALSE(second.wait_for(2500ms));
    gate.open();
    CHECK(second.result() == 1);
}

TEST_CASE("a result that was sent before the time was over is not lost") {
    ProcessPoolExecutor pool(1);
    CHECK(pool.submit([] { return 6; }).result() == 6);  // The worker is there.
    auto task = pool.submit({.timeout = 1s}, [] { return 7; });
    ::usleep(1'500'000);  // Nobody waits for it meanwhile.
    CHECK(task.result() == 7);
    CHECK(pool.submit({.timeout = 24h * 365 * 200}, [] { return 8; }).result() == 8);
}

TEST_CASE("kill ends a running task, and its future is cancelled") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    auto task = pool.submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    auto next = pool.submit(own_pid);

    CHECK(task.kill());

    CHECK(task.done());
    CHECK(task.cancelled());
    CHECK_THROWS_AS(task.result(), muster::CancelledError);
    CHECK(task.kill());
    CHECK(next.result() > 0);
    CHECK_FALSE(next.kill());
    pool.wait_idle();
    CHECK(pool.stats().cancelled == 1);
    CHECK(pool.stats().crashed == 0);
}

TEST_CASE("running_time counts what a task ran before it was killed or its pool broke") {
    TaskGate gate;
    const std::string refused = gate.path() + "-refused";  // While it is there, no worker starts.
    ProcessPoolExecutor pool({.max_workers = 2,
                              .initializer = {[](const std::string& file) {
                                                  if (std::ifstream(file))
                                                      throw std::runtime_error("refused");
                                              },
                                              refused}});
    auto killed = pool.submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    ::usleep(60'000);
    CHECK(killed.kill());
    CHECK(pool.wait_idle_for(200s));
    CHECK(pool.stats().running_time >= 60ms);

    auto failing = pool.submit(TaskGate::pass, gate.path(), 'b');
    (void)gate.arrival();
    ::usleep(60'000);
    std::ofstream(refused) << "now";
    pool.submit(own_pid).wait();  // Wants a second worker.
    CHECK_THROWS_AS(failing.result(), muster::BrokenProcessPool);
    CHECK(pool.wait_idle_for(200s));
    CHECK(pool.stats().running_time >= 120ms);
    std::filesystem::remove(refused);
}

TEST_CASE("kill cancels a task that has not begun, and its worker lives on") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    auto first = pool.submit(
        [](const std::string& path) {
            TaskGate::pass(path, 'a');
            return own_pid();
        },
        gate.path());
    (void)gate.arrival();
    auto second = pool.submit(own_pid);
    CHECK(second.kill());
    CHECK(second.cancelled());
    gate.open();
    CHECK(first.result() == pool.submit(own_pid).result());
}

TEST_CASE("neither kill nor a time limit takes the next task along") {
    ProcessPoolExecutor pool(1);
    const auto work = [](int microseconds) {
        ::usleep(static_cast<::useconds_t>(microseconds));
        return microseconds;
    };
    for (int i = 0; i < 60; ++i) {
        auto limited = pool.submit({.timeout = 2ms}, work, 1900 + 3 * i);
        auto innocent = pool.submit(work, 1);
        auto killed = pool.submit(work, 200);
        auto next = pool.submit(work, 2);
        CHECK(innocent.result() == 1);
        ::usleep(static_cast<::useconds_t>(3 * i));
        (void)killed.kill();
        CHECK(next.result() == 2);
        limited.wait();
        CHECK(killed.done());
    }
}

TEST_CASE("a task is tried again after an exception, a crash and a time-out") {
    ProcessPoolExecutor pool(2);
    const Attempts attempts;
    auto task = pool.submit(
        {.timeout = 5s, .retries = 3, .retry_delay = 1ms},
        [](const std::string& path) {
            const int attempt = Attempts::next(path);
            if (attempt == 1) throw std::runtime_error("the first");
            if (attempt == 2) ::raise(SIGKILL);
            if (attempt == 3) run_for_ever();
            return attempt;
        },
        attempts.path());
    REQUIRE(task.wait_for(200s));
    CHECK(task.result() == 4);
    CHECK(attempts.made() == 4);
    pool.wait_idle();
    const auto stats = pool.stats();
    CHECK(stats.retried == 3);
    CHECK(stats.completed == 1);
    CHECK(stats.failed == 0);
    CHECK(stats.crashed == 0);
    CHECK(stats.timed_out == 0);
}

TEST_CASE("the last attempt's error is the task's") {
    ProcessPoolExecutor pool(1);
    const Attempts attempts;
    auto task = pool.submit(
        {.retries = 2},
        [](const std::string& path) {
            throw std::out_of_range("attempt " + std::to_string(Attempts::next(path)));
        },
        attempts.path());
    CHECK_THROWS_WITH_AS(task.result(), "attempt 3", std::out_of_range);
    CHECK(attempts.made() == 3);
}

TEST_CASE("a task whose attempts all crash is counted once") {
    ProcessPoolExecutor pool(1);
    auto task = pool.submit({.retries = 2}, [] { ::raise(SIGKILL); });
    CHECK_THROWS_AS(task.result(), muster::WorkerCrashed);
    pool.wait_idle();
    const auto stats = pool.stats();
    CHECK(stats.retried == 2);
    CHECK(stats.crashed == 1);
    CHECK(stats.failed == 1);
}

TEST_CASE("workers may be given all the time they want to start") {
    CHECK(muster::ProcessPoolOptions{}.start_timeout == 10s);
    ProcessPoolExecutor pool({.max_workers = 1, .start_timeout = std::nullopt});
    CHECK(pool.submit(own_pid).result() != own_pid());
}

TEST_CASE("a task that waits for its next attempt can be cancelled") {
    ProcessPoolExecutor pool(1);
    auto task = pool.submit({.retries = 1, .retry_delay = 1h}, [] { throw 1; });
    while (!task.done() && pool.stats().retried == 0) std::this_thread::yield();
    CHECK_FALSE(task.done());
    CHECK(task.cancel());
    CHECK(pool.wait_idle_for(200s));
}

TEST_CASE("arguments that cannot be copied allow no retries, and nothing is lost") {
    ProcessPoolExecutor pool(1);
    CHECK_THROWS_AS(
        (void)pool.submit(
            {.retries = 1}, [](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(1)),
        std::invalid_argument);
    CHECK(
        pool.submit([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(2)).result() ==
        2);
    CHECK(pool.wait_idle_for(200s));
}

TEST_CASE("a worker is replaced after max_tasks_per_child tasks") {
    CHECK_THROWS_AS(ProcessPoolExecutor({.max_tasks_per_child = 0}), std::invalid_argument);
    ProcessPoolExecutor pool({.max_workers = 2, .max_tasks_per_child = 3});
    std::vector<muster::Future<int>> tasks;
    for (int i = 0; i < 60; ++i) tasks.push_back(pool.submit(own_pid));
    std::multiset<int> pids;
    for (auto& task : tasks) pids.insert(task.result());
    for (const int pid : pids) CHECK(pids.count(pid) <= 3);
    CHECK(pool.stats().crashed == 0);
}

TEST_CASE("resize starts more workers at once, and has surplus ones go") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    std::vector<muster::Future<char>> tasks;
    for (int i = 0; i < 4; ++i) tasks.push_back(pool.submit(TaskGate::pass, gate.path(), 'a'));
    (void)gate.arrival();
    pool.resize(4);
    for (int i = 0; i < 3; ++i) (void)gate.arrival();
    CHECK(pool.max_workers() == 4);
    pool.resize(1);
    CHECK(pool.max_workers() == 1);
    auto waits = pool.submit(own_pid);
    gate.open();
    for (auto& task : tasks) CHECK(task.result() == 'a');
    CHECK(waits.result() > 0);
    for (int i = 0; i < 4000 && pool.stats().pids.size() > 1; ++i) ::usleep(5000);
    CHECK(pool.stats().pids.size() == 1);
    CHECK(pool.stats().crashed == 0);
    CHECK_THROWS_AS(pool.resize(0), std::invalid_argument);
    CHECK_THROWS_AS(pool.resize(-1), std::invalid_argument);
}

TEST_CASE("terminate_workers and kill_workers end running and waiting tasks and the pool") {
    for (const bool politely : {true, false}) {
        CAPTURE(politely);
        ProcessPoolExecutor pool(2);
        TaskGate gate;
        std::vector<muster::Future<char>> tasks;
        for (int i = 0; i < 10; ++i) tasks.push_back(pool.submit(TaskGate::pass, gate.path(), 'a'));
        (void)gate.arrival();
        (void)gate.arrival();
        politely ? pool.terminate_workers() : pool.kill_workers();
        int crashed = 0;
        int broken = 0;
        for (auto& task : tasks) {
            REQUIRE(task.wait_for(200s));
            try {
                (void)task.result();
                FAIL("a task went on");
            } catch (const muster::WorkerCrashed& error) {
                CHECK(error.signal() == (politely ? SIGTERM : SIGKILL));
                ++crashed;
            } catch (const muster::BrokenProcessPool&) {
                ++broken;
            }
        }
        CHECK(crashed == 2);
        CHECK(broken == 8);
        CHECK_THROWS_AS((void)pool.submit(own_pid), muster::ShutdownError);
    }
}

TEST_CASE("every future holds the right outcome where tasks crash, overrun, throw and succeed") {
    const auto descriptors = muster::test::open_descriptors();
    {
        ProcessPoolExecutor pool(2);
        std::vector<muster::Future<int>> tasks;
        for (int i = 0; i < 400; ++i)
            tasks.push_back(pool.submit(
                {.timeout = i % 40 == 5 ? 100ms : 60s},
                [](int number) {
                    if (number % 20 == 3) ::raise(SIGKILL);
                    if (number % 40 == 5) run_for_ever();
                    if (number % 20 == 7) throw number;
                    return number;
                },
                i));
        for (int i = 0; i < 400; ++i) {
            CAPTURE(i);
            auto& task = tasks[static_cast<std::size_t>(i)];
            REQUIRE(task.wait_for(200s));
            if (i % 20 == 3)
                CHECK_THROWS_AS(task.result(), muster::WorkerCrashed);
            else if (i % 40 == 5)
                CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
            else if (i % 20 == 7)
                CHECK_THROWS_AS(task.result(), muster::RemoteError);
            else
                CHECK(task.result() == i);
        }
    }
    CHECK(muster::test::children_of().empty());
    CHECK(muster::test::open_descriptors() == descriptors);
}

}  // namespace process_limits_test
