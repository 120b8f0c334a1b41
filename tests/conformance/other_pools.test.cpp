// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Cases of loky, mpire, mpi4py and deadpool that Python's own pools have nothing of: resizing,
// bounds, statistics. The names in brackets are the cases' names there.
#include <muster/wait.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "support/task_gate.hpp"

namespace conformance_other_pools_test {

namespace {

using namespace muster::conformance;
using muster::Future;
using muster::ProcessPoolExecutor;
using muster::StartMethod;
using muster::test::TaskGate;
using namespace std::chrono_literals;

constexpr auto patience = 60s;  // Only so that a hang is a failure with a name.

int own_pid() { return static_cast<int>(::getpid()); }
int triple(int x) { return 3 * x; }
int raise_signal(int signal) {
    ::signal(signal, SIG_DFL);  // A sanitizer's own handler would make it an exit code.
    ::raise(signal);
    return 0;
}
void fail_to_initialize() { throw std::runtime_error("error in initializer"); }

std::atomic<int> state{0};
void set_state(int value) { state = value; }
int state_of_worker() { return state; }

}  // namespace

// --- resizing: loky, test_reusable_executor.py

TEST_CASE_TEMPLATE("a pool may be resized many times [loky test_resize_many_times]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    std::vector<Future<int>> futures;
    for (const int workers : {4, 2, 1, 5, 1, 3}) {
        pool.resize(workers);
        CHECK(pool.max_workers() == static_cast<std::size_t>(workers));
        for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(triple, i));
    }
    for (std::size_t i = 0; i < futures.size(); ++i) {
        REQUIRE(futures[i].wait_for(patience));
        CHECK(futures[i].result() == 3 * static_cast<int>(i % 20));
    }
}

TEST_CASE_TEMPLATE("a pool that grows uses its new workers at once [loky test_reusable_executor]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto second = pool.submit(TaskGate::pass, gate.path(), 'b');
    CHECK(gate.arrival() == 'a');

    pool.resize(2);

    CHECK(gate.arrival() == 'b');
    CHECK_FALSE(first.done());
    CHECK_FALSE(second.done());
}

TEST_CASE("a resized pool contains crashes as before [loky test_kill_after_resize_call]") {
    ProcessPoolExecutor pool(Processes::options(2));
    const int worker = pool.submit(own_pid).result();
    pool.resize(1);
    ::kill(worker, SIGKILL);

    // The worker was idle, and if not yet, this task at most is lost.
    auto after = pool.submit(triple, 1);
    REQUIRE(after.wait_for(patience));
    CHECK(pool.submit(triple, 2).result() == 6);
}

// --- mpire, mpi4py and deadpool

TEST_CASE(
    "each worker that takes another's place is initialized "
    "[mpire worker_init with worker_lifespan]") {
    auto options = Processes::options(1);
    options.initializer = {set_state, 7};
    options.max_tasks_per_child = 1;
    ProcessPoolExecutor pool(std::move(options));
    for (int i = 0; i < 4; ++i) CHECK(pool.submit(state_of_worker).result() == 7);
    CHECK(state == 0);  // Not here.
}

TEST_CASE(
    "several tasks may be past their time together "
    "[mpire test_apply_async_multiple_task_timeout]") {
    ProcessPoolExecutor pool(Processes::options(2));
    TaskGate gate;
    std::vector<Future<char>> late;
    for (int i = 0; i < 4; ++i)
        late.push_back(pool.submit({.timeout = 200ms}, TaskGate::pass, gate.path(), 'a'));
    auto other = pool.submit({.timeout = patience}, triple, 2);

    for (const auto& future : late) {
        REQUIRE(future.wait_for(patience));
        CHECK_THROWS_AS((void)future.result(), muster::TaskTimeout);
    }
    CHECK(other.result() == 6);
    pool.wait_idle();
    CHECK(pool.stats().timed_out == 4);
}

TEST_CASE_TEMPLATE(
    "a pool whose initializer fails can be dropped "
    "[mpi4py test_initializer_error_del, test_initializer_error_del_nowait]",
    Kind, EVERY_KIND) {
    for (const bool wait : {false, true}) {
        std::optional<Future<int>> future;
        {
            auto options = Kind::options(1);
            options.initializer = fail_to_initialize;
            typename Kind::Pool pool(std::move(options));
            future = pool.submit(triple, 1);
            pool.shutdown({.wait = wait});
        }
        REQUIRE(future->done());
        CHECK_THROWS_AS((void)future->result(), muster::BrokenExecutor);
    }
}

TEST_CASE(
    "futures of several pools may be waited for together "
    "[mpi4py test_multiple_executors, test_shared_executors]") {
    muster::ThreadPoolExecutor threads(1);
    ProcessPoolExecutor spawn(Processes::options(1, StartMethod::spawn));
    ProcessPoolExecutor fork(Processes::options(1, StartMethod::fork));
    ProcessPoolExecutor forkserver(Processes::options(1, StartMethod::forkserver));
    const std::vector<Future<int>> futures{threads.submit(triple, 1), spawn.submit(triple, 2),
                                           fork.submit(triple, 3), forkserver.submit(triple, 4)};
    int sum = 0;
    for (const auto& future : muster::as_completed(futures, patience)) sum += future.result();
    CHECK(sum == 30);
}

TEST_CASE(
    "any signal that ends a worker costs its task alone "
    "[deadpool test_kill, mpire kill_apply]") {
    ProcessPoolExecutor pool(Processes::options(1));
    for (const int signal : {SIGTERM, SIGKILL, SIGABRT, SIGSEGV, SIGFPE, SIGINT, SIGHUP}) {
        CAPTURE(signal);
        auto lost = pool.submit(raise_signal, signal);
        REQUIRE(lost.wait_for(patience));
        try {
            (void)lost.result();
            FAIL("it has a result");
        } catch (const muster::WorkerCrashed& crash) {
            CHECK(crash.signal() == signal);
            CHECK(crash.exit_code() == -signal);
        }
        CHECK(pool.submit(triple, 1).result() == 3);
    }
}

TEST_CASE_TEMPLATE(
    "a full pool has who submits wait [deadpool test_throttle_as_completed, "
    "max_backlog]",
    Kind, EVERY_KIND) {
    auto options = Kind::options(1);
    options.max_pending = 2;
    typename Kind::Pool pool(std::move(options));
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto second = pool.submit(triple, 1);
    CHECK_FALSE(pool.try_submit(triple, 2));

    std::thread opener([&] { gate.open(); });
    std::vector<Future<int>> others;
    for (int i = 0; i < 20; ++i) others.push_back(pool.submit(triple, i));
    opener.join();

    CHECK(first.result() == 'a');
    CHECK(second.result() == 3);
    for (int i = 0; i < 20; ++i) CHECK(others[static_cast<std::size_t>(i)].result() == 3 * i);
}

TEST_CASE_TEMPLATE("the statistics are exact [deadpool test_statistics]", Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    std::vector<Future<char>> running;
    for (int i = 0; i < 2; ++i) running.push_back(pool.submit(TaskGate::pass, gate.path(), 'a'));
    for (int i = 0; i < 2; ++i) gate.arrival();
    std::vector<Future<int>> pending;
    for (int i = 0; i < 6; ++i) pending.push_back(pool.submit(triple, i));
    for (int i = 0; i < 3; ++i) (void)pool.submit([] { throw std::domain_error("counted"); });
    for (int i = 0; i < 2; ++i) CHECK(pending[static_cast<std::size_t>(i)].cancel());
    CHECK(pool.stats().running == 2);
    CHECK(pool.stats().pending == 7);
    gate.open();
    pool.wait_idle();

    const auto stats = pool.stats();
    CHECK(stats.pending == 0);
    CHECK(stats.running == 0);
    CHECK(stats.completed == 6);
    CHECK(stats.failed == 3);
    CHECK(stats.cancelled == 2);
    CHECK(stats.timed_out == 0);
    CHECK(stats.retried == 0);
}

TEST_CASE(
    "a worker of the start method spawn has no standard input "
    "[loky test_stdin_in_subprocess]") {
    ProcessPoolExecutor pool(Processes::options(1, StartMethod::spawn));

    CHECK(pool.submit([] { return std::fgetc(stdin); }).result() == EOF);
}

}  // namespace conformance_other_pools_test
