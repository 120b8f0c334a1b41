// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Cancelling, stopping, posting and counting in process pools.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "support/asleep.hpp"
#include "support/event.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace process_tasks_test {

namespace {

using muster::Future;
using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::StopToken;
using muster::test::Event;
using muster::test::soon;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int same(int x) { return x; }

}  // namespace

TEST_CASE("cancel succeeds for all that has not begun, also for what a worker already has") {
    for (const bool measured : {false, true}) {
        ProcessPoolExecutor pool(1);
        if (measured)  // Of short tasks a worker gets many ahead.
            for (int i = 0; i < 100; ++i) pool.submit(same, i).result();
        TaskGate gate;
        auto first = pool.submit(TaskGate::pass, gate.path(), 'f');
        std::vector<Future<char>> queued;
        for (int i = 0; i < 50; ++i)
            queued.push_back(pool.submit(TaskGate::arrive, gate.path(), 'q'));
        CHECK(gate.arrival() == 'f');

        CHECK_FALSE(first.cancel());
        CHECK(first.running());
        for (auto& future : queued) {
            CHECK(future.cancel());
            CHECK(future.cancelled());
            CHECK_THROWS_AS((void)future.result(), muster::CancelledError);
        }
        gate.open();
        CHECK(first.result() == 'f');
        pool.wait_idle();
        CHECK(gate.arrived().empty());
        CHECK(pool.stats().cancelled == 50);
        CHECK(pool.stats().pids.size() == 1);
        CHECK(pool.submit(same, 4).result() == 4);
    }
}

TEST_CASE("shutdown may cancel what has not begun") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'f');
    std::vector<Future<char>> queued;
    for (int i = 0; i < 50; ++i) queued.push_back(pool.submit(TaskGate::arrive, gate.path(), 'q'));
    CHECK(gate.arrival() == 'f');
    pool.shutdown({.wait = false, .cancel_futures = true});
    for (auto& future : queued) CHECK(future.cancelled());
    CHECK_THROWS_AS((void)pool.submit(same, 1), muster::ShutdownError);
    gate.open();
    pool.shutdown();
    CHECK(first.result() == 'f');
    CHECK(muster::test::children_of().empty());
}

TEST_CASE("a task behind a long one is run by another worker that is idle") {
    ProcessPoolExecutor pool(2);
    for (int i = 0; i < 200; ++i) pool.submit(same, i).result();
    TaskGate gate;
    auto blocked = pool.submit(TaskGate::pass, gate.path(), 'b');
    CHECK(gate.arrival() == 'b');
    std::vector<Future<int>> others;
    for (int i = 0; i < 300; ++i) others.push_back(pool.submit(same, i));
    for (auto& other : others) REQUIRE(other.wait_for(200s));
    CHECK_FALSE(blocked.done());
    gate.open();
}

TEST_CASE("a task behind a long one is run by a worker that starts only now") {
    ProcessPoolExecutor pool(2);
    TaskGate gate;
    auto blocked = pool.submit(TaskGate::pass, gate.path(), 'b');
    auto behind = pool.submit(same, 3);  // Whichever of them comes first to a worker.
    REQUIRE(behind.wait_for(200s));
    CHECK_FALSE(blocked.done());
    gate.open();
}

TEST_CASE("higher priorities go first, equals in their order") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'f');
    CHECK(gate.arrival() == 'f');
    for (const char letter : std::string("abcdefgh"))
        pool.post({.priority = letter % 2}, TaskGate::arrive, gate.path(), letter);
    gate.open();
    pool.wait_idle();
    // What the worker was handed ahead keeps its place.
    const std::string order = gate.arrived();
    CHECK(order.size() == 8);
    CHECK(order.substr(order.size() - 3) == "dfh");
}

TEST_CASE("request_stop reaches a task that runs, and one that waits") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    const auto until_stopped = [](StopToken stop, const std::string& path) {
        TaskGate::arrive(path, 'r');
        while (!stop.stop_requested()) std::this_thread::yield();
        return 1;
    };
    auto running = pool.submit(until_stopped, gate.path());
    auto waiting = pool.submit(until_stopped, gate.path());
    CHECK(gate.arrival() == 'r');
    CHECK(waiting.request_stop());
    CHECK_FALSE(waiting.done());
    CHECK(running.request_stop());
    CHECK(running.result() == 1);
    CHECK(waiting.result() == 1);
    CHECK_FALSE(running.request_stop());
    CHECK_FALSE(pool.submit(same, 1).request_stop());
}

TEST_CASE("request_stop wakes a task through its callback, and no other task") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    const auto task = [](StopToken stop, const std::string& path) {
        TaskGate::pass(path, 'a');
        return stop.stop_requested();
    };
    auto stopped = pool.submit(task, gate.path());
    auto other = pool.submit(task, gate.path());
    CHECK(gate.arrival() == 'a');
    CHECK(stopped.request_stop());
    gate.open();
    CHECK_FALSE(other.result());
}

TEST_CASE("what posted tasks and callbacks throw goes to on_error, crashes included") {
    std::mutex mutex;
    std::multiset<std::string> errors;
    ProcessPoolExecutor pool({.max_workers = 1, .on_error = [&](std::exception_ptr error) {
                                  const std::lock_guard held(mutex);
                                  try {
                                      std::rethrow_exception(error);
                                  } catch (const muster::WorkerCrashed&) {
                                      errors.insert("crashed");
                                  } catch (const std::exception& thrown) {
                                      errors.insert(thrown.what());
                                  }
                              }});
    pool.post([] { throw std::runtime_error("posted"); });
    pool.post([] { ::_exit(2); });
    pool.submit(same, 1).add_done_callback(
        [](const auto&) { throw std::runtime_error("callback"); });
    (void)pool.submit([] { throw std::runtime_error("kept in the future"); });
    pool.wait_idle();
    CHECK(errors == std::multiset<std::string>{"callback", "crashed", "posted"});
}

TEST_CASE("submit waits for room, and try_submit does not") {
    ProcessPoolExecutor pool({.max_workers = 1, .max_pending = 2});
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto second = pool.submit(same, 2);
    CHECK_FALSE(pool.try_submit(same, 3));
    std::thread opener([&] { gate.open(); });
    CHECK(pool.submit(same, 4).result() == 4);
    opener.join();
    CHECK(first.result() == 'a');
}

TEST_CASE("no task runs twice and every future is resolved, while workers are killed at random") {
    char path[] = "/tmp/muster-ran-XXXXXX";
    const int file = ::mkostemp(path, O_CLOEXEC);
    constexpr int count = 3000;
    {
        ProcessPoolExecutor pool(2);
        pool.submit(same, 1).result();
        std::vector<Future<int>> futures;
        for (int i = 0; i < count; ++i)
            futures.push_back(pool.submit(
                [](const std::string& name, std::int32_t id) {
                    const int out = ::open(name.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
                    if (::write(out, &id, sizeof id) != sizeof id)
                        throw std::runtime_error("write");
                    ::close(out);
                    return static_cast<int>(::getpid());
                },
                std::string(path), i));
        std::set<int> killed;
        for (std::size_t next = 0; next < futures.size(); next += 10) {
            if (futures[next].exception()) continue;
            const int pid = futures[next].result();
            if (killed.size() < 40 && killed.insert(pid).second) ::kill(pid, SIGKILL);
        }
        int crashed = 0;
        for (int i = 0; i < count; ++i) {
            auto& future = futures[static_cast<std::size_t>(i)];
            REQUIRE(future.wait_for(200s));
            int pid = 0;
            try {
                pid = future.result();
            } catch (const muster::WorkerCrashed& crash) {
                CHECK(crash.signal() == SIGKILL);
                pid = crash.pid();
                ++crashed;
            }
            CHECK(pid > 0);
        }
        pool.wait_idle();
        const auto stats = pool.stats();
        CHECK(stats.crashed == static_cast<std::size_t>(crashed));
        CHECK(stats.completed + stats.failed == count + 1);
        CHECK(stats.crashed <= killed.size());
        CHECK(killed.size() > 1);
    }
    std::vector<int> times(count);
    std::int32_t id = 0;
    std::size_t ran = 0;
    while (::read(file, &id, sizeof id) == sizeof id)
        if (++times[static_cast<std::size_t>(id)] == 1) ++ran;
    CHECK(*std::max_element(times.begin(), times.end()) == 1);
    CHECK(ran > count / 2);
    ::close(file);
    ::unlink(path);
}

TEST_CASE("stats are exact after wait_idle") {
    ProcessPoolExecutor pool(2);
    CHECK(pool.stats().pids.empty());
    TaskGate gate;
    std::vector<Future<char>> gated;
    for (int i = 0; i < 2; ++i)
        gated.push_back(pool.submit({.name = "gated"}, TaskGate::pass, gate.path(), 'a'));
    for (int i = 0; i < 2; ++i) (void)gate.arrival();
    std::vector<Future<int>> more;
    for (int i = 0; i < 5; ++i) more.push_back(pool.submit({.name = "later"}, same, i));
    CHECK(pool.stats().running == 2);
    CHECK(pool.stats().running_names == std::vector<std::string>{"gated", "gated"});
    CHECK(pool.stats().pending == 5);
    CHECK(more[4].cancel());
    CHECK(pool.stats().pending == 4);
    gate.open();
    for (int i = 0; i < 3; ++i) (void)pool.submit([] { throw std::runtime_error("failed"); });
    (void)pool.submit([] { std::abort(); });
    (void)pool.submit([] { ::_exit(1); });
    pool.wait_idle();

    const auto stats = pool.stats();
    CHECK(stats.completed == 6);
    CHECK(stats.failed == 5);
    CHECK(stats.crashed == 2);
    CHECK(stats.cancelled == 1);
    CHECK(stats.pending == 0);
    CHECK(stats.running == 0);
    CHECK(stats.running_names.empty());
    CHECK(stats.running_time > 0ns);
    CHECK(stats.waiting_time > 0ns);
    for (int i = 0; i < 20; ++i) pool.submit(same, i).result();
    pool.wait_idle();
    CHECK(pool.stats().completed == 26);
    // One worker may have done all that, before the other one was there.
    CHECK(soon([&] { return pool.stats().respawned == 2; }));
    CHECK(pool.stats().pids.size() == 2);
    for (const int pid : pool.stats().pids) CHECK(::kill(pid, 0) == 0);
}

}  // namespace process_tasks_test
