// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// CPython's test_concurrent_futures/test_process_pool.py, over each start method. The names in
// brackets are the cases' names there.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "posix/descriptors.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace conformance_process_pool_test {

namespace {

using namespace muster::conformance;
using muster::Future;
using muster::ProcessPoolExecutor;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int multiply(int x, int y) { return x * y; }
int own_pid() { return static_cast<int>(::getpid()); }
void fail() { throw std::domain_error("division by zero"); }
int leave(int code) { ::_exit(code); }
void fail_to_initialize() { throw std::runtime_error("error in initializer"); }
// Comes, stays until the gate opens, and comes again.
void twice_at(const std::string& path) {
    TaskGate::pass(path, '1');
    TaskGate::arrive(path, '2');
}

template <typename T>
std::optional<int> signal_of(const Future<T>& future) {
    try {
        (void)future.result();
    } catch (const muster::WorkerCrashed& crash) {
        return crash.signal();
    }
    return std::nullopt;
}

template <typename Kind>
auto with_limit(std::size_t workers, std::size_t max_tasks_per_child) {
    auto options = Kind::options(workers);
    options.max_tasks_per_child = max_tasks_per_child;
    return options;
}

void end_all(ProcessPoolExecutor& pool, bool forceful) {
    if (forceful)
        pool.kill_workers();
    else
        pool.terminate_workers();
}

}  // namespace

TEST_CASE("there may be any number of workers [test_max_workers_too_large]") {
    // Adapted: Python refuses more than 61 on Windows.
    ProcessPoolExecutor pool(Processes::options(1000));

    CHECK(pool.max_workers() == 1000);
    CHECK(pool.submit(multiply, 6, 7).result() == 42);
}

TEST_CASE("a killed worker costs the task it ran, and no other [test_killed_child]") {
    // Adapted: in Python the pool is broken.
    ProcessPoolExecutor pool(Processes::options(1));
    TaskGate gate;
    auto lost = pool.submit(twice_at, gate.path());
    auto pending = pool.submit(multiply, 2, 3);
    gate.arrival();
    REQUIRE(pool.stats().pids.size() == 1);

    ::kill(pool.stats().pids.front(), SIGKILL);

    REQUIRE(lost.wait_for(200s));
    CHECK(signal_of(lost) == SIGKILL);
    CHECK(pending.result() == 6);
    CHECK(pool.submit(multiply, 3, 4).result() == 12);
}

TEST_CASE("each future has an exception of its own [test_broken_process_pool_traceback]") {
    ProcessPoolExecutor pool(Processes::options(2));
    std::vector<Future<int>> futures;
    for (int i = 0; i < 3; ++i) futures.push_back(pool.submit(leave, 1));

    std::set<const void*> exceptions;
    std::set<int> pids;
    for (const auto& future : futures) {
        REQUIRE(future.wait_for(200s));
        try {
            (void)future.result();
        } catch (const muster::WorkerCrashed& crash) {
            exceptions.insert(&crash);
            pids.insert(crash.pid());
        }
    }
    CHECK(exceptions.size() == 3);
    CHECK(pids.size() == 3);
}

TEST_CASE("any chunksize gives all results in order [test_map_chunksize]") {
    ProcessPoolExecutor pool(Processes::options());
    std::vector<int> input(40);
    std::iota(input.begin(), input.end(), 0);
    std::vector<int> expected;
    for (const int x : input) expected.push_back(x * x);

    // Adapted: 0 is no error, it has the size chosen; below 0 there is nothing.
    for (const std::size_t chunksize : {0u, 6u, 40u, 50u}) {
        CAPTURE(chunksize);
        std::vector<int> results;
        for (const int result : pool.map({.chunksize = chunksize}, multiply, input, input))
            results.push_back(result);
        CHECK(results == expected);
    }
}

TEST_CASE("an exception arrives with its type and its words [test_traceback]") {
    // Adapted: C++ knows no source lines of exceptions.
    ProcessPoolExecutor pool(Processes::options());

    CHECK_THROWS_WITH_AS(pool.submit(fail).result(), "division by zero", std::domain_error);
}

TEST_CASE(
    "a task that ends its process is reported with the exit code "
    "[test_traceback_when_child_process_terminates_abruptly]") {
    ProcessPoolExecutor pool(Processes::options());
    auto future = pool.submit(leave, 99);

    REQUIRE(future.wait_for(200s));
    try {
        (void)future.result();
        FAIL("it has a result");
    } catch (const muster::WorkerCrashed& crash) {
        CHECK(crash.exit_code() == 99);
        CHECK(std::string(crash.what()).find("exit code 99") != std::string::npos);
    }
}

TEST_CASE_TEMPLATE("as many workers as there may be run the tasks, and no more [test_saturation]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(3));
    TaskGate gate;
    std::vector<Future<int>> futures;
    for (int i = 0; i < 15 * 3; ++i)
        futures.push_back(pool.submit(
            [](const std::string& path) {
                TaskGate::pass(path, 'a');
                return Kind::worker();
            },
            gate.path()));
    for (int i = 0; i < 3; ++i) gate.arrival();
    CHECK(gate.arrived().empty());
    gate.open();

    std::set<int> workers;
    for (const auto& future : futures) workers.insert(future.result());
    CHECK(workers.size() == 3);
}

TEST_CASE_TEMPLATE(
    "tasks one after the other use one worker "
    "[test_idle_thread_reuse, test_idle_process_reuse_one]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    std::set<int> workers;
    for (int i = 0; i < 3; ++i) {
        workers.insert(pool.submit(Kind::worker).result());
        pool.wait_idle();  // A result is there before its worker is free.
    }

    CHECK(workers.size() == 1);
}

TEST_CASE("idle workers are used again [test_idle_process_reuse_multiple]") {
    ProcessPoolExecutor pool(Processes::options(5));
    pool.submit(multiply, 12, 7).wait();
    auto third = pool.submit(multiply, 33, 25);
    pool.submit(multiply, 25, 26).wait();
    auto fifth = pool.submit(multiply, 18, 29);
    pool.submit(multiply, 1, 2).wait();
    pool.submit(multiply, 0, 9).wait();

    CHECK(pool.stats().pids.size() <= 3);
    CHECK(third.result() == 825);
    CHECK(fifth.result() == 522);
}

// --- max_tasks_per_child

TEST_CASE(
    "a worker is replaced after its tasks "
    "[test_max_tasks_per_child, pebble test_process_pool_future_limit]") {
    // Adapted: fork is no exception, as its workers come from a snapshot.
    ProcessPoolExecutor pool(with_limit<Processes>(1, 3));
    const int first = pool.submit(own_pid).result();
    CHECK(pool.submit(own_pid).result() == first);
    CHECK(pool.submit(own_pid).result() == first);

    const int second = pool.submit(own_pid).result();

    CHECK(second != first);
    CHECK(muster::test::ends(first));
    const auto limit = std::chrono::steady_clock::now() + 60s;  // The pool sees it soon, too.
    while (pool.stats().pids.size() != 1 && std::chrono::steady_clock::now() < limit)
        std::this_thread::yield();
    CHECK(pool.stats().pids == std::vector<int>{second});
}

TEST_CASE(
    "spawn is the default, with and without a limit of tasks "
    "[test_max_tasks_per_child_defaults_to_spawn_context]") {
    CHECK(muster::ProcessPoolOptions{}.start_method == muster::StartMethod::spawn);
}

TEST_CASE(
    "all pending tasks run though workers are replaced "
    "[test_max_tasks_per_child_pending_tasks_gh115634]") {
    for (const auto& [workers, tasks] : {std::pair{1, 6}, std::pair{2, 8}}) {
        ProcessPoolExecutor pool(with_limit<Processes>(static_cast<std::size_t>(workers), 2));
        std::vector<Future<int>> futures;
        for (int i = 0; i < tasks; ++i) futures.push_back(pool.submit(own_pid));
        std::vector<int> pids;
        for (const auto& future : futures) {
            REQUIRE(future.wait_for(200s));
            pids.push_back(future.result());
        }
        for (const int pid : pids) CHECK(std::count(pids.begin(), pids.end(), pid) <= 2);
    }
}

TEST_CASE(
    "what is pending runs though workers are replaced after shutdown "
    "[test_shutdown_no_wait_max_tasks_gh119592, test_max_tasks_early_shutdown]") {
    for (const bool wait : {false, true}) {
        ProcessPoolExecutor pool(with_limit<Processes>(3, 1));
        std::vector<Future<int>> futures;
        for (int i = 0; i < 6; ++i) futures.push_back(pool.submit(multiply, i, i));
        pool.shutdown({.wait = wait});
        for (int i = 0; i < 6; ++i) {
            REQUIRE(futures[static_cast<std::size_t>(i)].wait_for(200s));
            CHECK(futures[static_cast<std::size_t>(i)].result() == i * i);
        }
    }
}

TEST_CASE(
    "what is pending runs though the pool is dropped while workers are replaced "
    "[test_gc_during_max_tasks_worker_exit_gh152967]") {
    // Adapted: the destructor waits for what was accepted; in Python the futures fail.
    std::vector<Future<int>> futures;
    {
        ProcessPoolExecutor pool(with_limit<Processes>(1, 1));
        for (int i = 0; i < 4; ++i) futures.push_back(pool.submit(multiply, i, i));
        futures.front().wait();
    }
    for (int i = 0; i < 4; ++i) {
        REQUIRE(futures[static_cast<std::size_t>(i)].done());
        CHECK(futures[static_cast<std::size_t>(i)].result() == i * i);
    }
}

TEST_CASE(
    "no worker is replaced once all are ended by force "
    "[test_force_shutdown_during_max_tasks_worker_exit]") {
    ProcessPoolExecutor pool(with_limit<Processes>(1, 1));
    TaskGate gate;
    auto running = pool.submit(twice_at, gate.path());
    std::vector<Future<void>> pending;
    for (int i = 0; i < 3; ++i) pending.push_back(pool.submit(twice_at, gate.path()));
    gate.arrival();

    pool.kill_workers();

    for (const auto& future : pending) {
        REQUIRE(future.wait_for(200s));
        CHECK_THROWS_AS(future.result(), muster::BrokenProcessPool);
    }
    CHECK(signal_of(running) == SIGKILL);
    gate.open();
    pool.shutdown();
    CHECK(pool.stats().pids.empty());
    CHECK(gate.arrived().empty());
}

TEST_CASE(
    "a worker that cannot be replaced breaks the pool "
    "[test_failed_worker_replacement_breaks_pool]") {
    const std::string program = "/tmp/muster-program-" + std::to_string(::getpid());
    std::filesystem::copy_file(muster::test::own_path(), program);
    ProcessPoolExecutor pool({.max_workers = 1, .start_timeout = 5min, .executable = program});
    const int worker = pool.submit(own_pid).result();
    std::filesystem::remove(program);
    ::kill(worker, SIGKILL);
    CHECK(muster::test::ends(worker));

    std::vector<Future<int>> futures;
    for (int i = 0; i < 3; ++i) futures.push_back(pool.submit(own_pid));
    for (const auto& future : futures) {
        REQUIRE(future.wait_for(200s));
        try {
            FAIL("a worker: " << future.result());
        } catch (const muster::BrokenProcessPool& error) {
            const std::string words = error.what();
            CHECK_MESSAGE(words.find("its workers cannot start") != std::string::npos, words);
            CHECK_MESSAGE(words.find(program) != std::string::npos, words);
        }
    }
}

TEST_CASE(
    "a pool whose initializer fails leaves nothing behind "
    "[FailingInitializerResourcesTest.test_spawn, test_forkserver]") {
    const auto fail_in_a_pool = [] {
        auto options = Processes::options(2);
        options.initializer = fail_to_initialize;
        ProcessPoolExecutor pool(std::move(options));
        CHECK_THROWS_AS((void)pool.submit(own_pid).result(), muster::BrokenProcessPool);
    };
    fail_in_a_pool();  // What is made once for all pools is made here.
    const auto descriptors = muster::test::open_descriptors();

    fail_in_a_pool();

    CHECK(muster::test::open_descriptors() == descriptors);
    CHECK(muster::test::children_of().empty());
}

// --- terminate_workers and kill_workers

TEST_CASE(
    "a task never goes on when its worker is ended by force "
    "[test_terminate_workers, test_kill_workers, test_force_shutdown_workers, "
    "test_force_shutdown_workers_stops_pool, loky test_shutdown_kill]") {
    for (const bool forceful : {false, true}) {
        CAPTURE(forceful);
        ProcessPoolExecutor pool(Processes::options(1));
        TaskGate gate;
        auto task = pool.submit(twice_at, gate.path());
        gate.arrival();
        const int pid = pool.stats().pids.at(0);

        end_all(pool, forceful);

        REQUIRE(task.wait_for(200s));
        CHECK_THROWS_AS(task.result(), muster::WorkerCrashed);
        CHECK(muster::test::ends(pid));
        gate.open();
        CHECK(gate.arrived().empty());
        CHECK_THROWS_AS((void)pool.submit(own_pid), muster::ShutdownError);
    }
}

TEST_CASE(
    "a broken pool's workers may be ended by force "
    "[test_force_shutdown_workers_dead_workers]") {
    for (const bool forceful : {false, true}) {
        auto options = Processes::options(1);
        options.initializer = fail_to_initialize;
        ProcessPoolExecutor pool(std::move(options));
        CHECK_THROWS_AS((void)pool.submit(own_pid).result(), muster::BrokenProcessPool);

        CHECK_NOTHROW(end_all(pool, forceful));
    }
}

TEST_CASE(
    "there may be no worker to end by force "
    "[test_force_shutdown_workers_not_started_yet]") {
    for (const bool forceful : {false, true}) {
        ProcessPoolExecutor pool(Processes::options(1));

        CHECK_NOTHROW(end_all(pool, forceful));

        CHECK_THROWS_AS((void)pool.submit(own_pid), muster::ShutdownError);
    }
}

}  // namespace conformance_process_pool_test
