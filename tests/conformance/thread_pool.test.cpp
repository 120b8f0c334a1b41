// SPDX-License-Identifier: MIT
// ctest: concurrency skip=thread
// ThreadSanitizer: it has a thread of its own where threads are counted.
// CPython's test_concurrent_futures/test_thread_pool.py, and the cases of test_shutdown.py for
// threads. The names in brackets are the cases' names there.
#include <doctest/doctest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "conformance/executors.hpp"
#include "support/event.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace conformance_thread_pool_test {

namespace {

using namespace muster::conformance;
using muster::StartMethod;
using muster::ThreadPoolExecutor;
using muster::test::Event;
using muster::test::Program;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int successor(int x) { return x + 1; }

std::string thread_name() {
    std::array<char, 16> name{};
    ::pthread_getname_np(::pthread_self(), name.data(), name.size());
    return name.data();
}

std::ptrdiff_t threads_here() {
    const std::filesystem::directory_iterator threads("/proc/self/task");
    return std::distance(begin(threads), end(threads));
}

// Whether this process has so many threads soon: one that has been joined may be listed a little
// longer.
bool soon_threads(std::ptrdiff_t count) {
    const auto patience = std::chrono::steady_clock::now() + 200s;
    while (threads_here() != count && std::chrono::steady_clock::now() < patience) ::sched_yield();
    return threads_here() == count;
}

// The names of the threads of a pool of five, all of which are busy at the same time.
std::set<std::string> names_in(ThreadPoolExecutor& pool) {
    TaskGate gate;
    std::vector<muster::Future<std::string>> tasks;
    for (int i = 0; i < 5; ++i)
        tasks.push_back(pool.submit(
            [](const std::string& path) {
                TaskGate::pass(path, 'a');
                return thread_name();
            },
            gate.path()));
    for (int i = 0; i < 5; ++i) gate.arrival();
    gate.open();
    std::set<std::string> names;
    for (const auto& task : tasks) names.insert(task.result());
    return names;
}

}  // namespace

TEST_CASE("a pool has a worker for each CPU that it may use [test_default_workers]") {
    // Adapted: Python has min(32, CPUs + 4). A quota may make it less than the mask says.
    ::cpu_set_t mask;
    REQUIRE(::sched_getaffinity(0, sizeof mask, &mask) == 0);

    const std::size_t workers = ThreadPoolExecutor().max_workers();

    CHECK(workers >= 1);
    CHECK(workers <= static_cast<std::size_t>(CPU_COUNT(&mask)));
    CHECK(muster::ProcessPoolExecutor().max_workers() == workers);
}

TEST_CASE(
    "a thread pool and forking pools do not wait for each other's locks "
    "[test_hang_global_shutdown_lock]") {
    ThreadPoolExecutor threads(2);
    std::atomic<bool> enough{false};
    std::atomic<int> rounds{0};
    std::function<void()> again = [&] {
        ++rounds;
        if (!enough) threads.post([&] { again(); });
    };
    threads.post([&] { again(); });
    for (int i = 0; i < 20; ++i) {
        muster::ProcessPoolExecutor pool(Processes::options(1, StartMethod::fork));
        auto future = pool.submit(successor, i);
        REQUIRE(future.wait_for(200s));
        CHECK(future.result() == i + 1);
    }
    enough = true;
    threads.wait_idle();
    CHECK(rounds > 1);
}

TEST_CASE(
    "a copy of the process made in a task of a thread pool ends as it should "
    "[test_process_fork_from_a_threadpool]") {
    ThreadPoolExecutor pool(1);

    const auto fork_and_wait = [] {
        std::fflush(nullptr);
        const ::pid_t pid = ::fork();
        if (pid == 0) {
            ::alarm(30);
            std::exit(0);  // Handlers and destructors run, and there are no threads to wait for.
        }
        int status = -1;
        ::waitpid(pid, &status, 0);
        return status;
    };

    CHECK(pool.submit(fork_and_wait).result() == 0);
}

// --- test_shutdown.py, ThreadPoolShutdownTest

TEST_CASE("after shutdown a pool has no threads [test_threads_terminate]") {
    REQUIRE(soon_threads(1));
    ThreadPoolExecutor pool(3);
    TaskGate gate;
    std::vector<muster::Future<char>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(pool.submit(TaskGate::pass, gate.path(), 'a'));
    for (int i = 0; i < 3; ++i) gate.arrival();
    CHECK(soon_threads(4));

    gate.open();
    pool.shutdown();

    for (const auto& task : tasks) CHECK(task.done());
    CHECK(soon_threads(1));
}

TEST_CASE("threads end by themselves after shutdown without waiting [test_shutdown_no_wait]") {
    REQUIRE(soon_threads(1));
    {
        ThreadPoolExecutor pool(2);
        TaskGate gate;
        auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
        auto second = pool.submit(TaskGate::pass, gate.path(), 'b');
        gate.arrival();
        gate.arrival();
        pool.shutdown({.wait = false});
        CHECK_FALSE(first.done());
        gate.open();
        CHECK(first.result() == 'a');
        CHECK(second.result() == 'b');
        CHECK(soon_threads(1));  // Not at the pool's end.
    }
    CHECK(soon_threads(1));
}

TEST_CASE("threads have the given name and a number [test_thread_names_assigned]") {
    ThreadPoolExecutor pool({.max_workers = 5, .thread_name_prefix = "SpecialPool"});

    CHECK(names_in(pool) == std::set<std::string>{"SpecialPool_0", "SpecialPool_1", "SpecialPool_2",
                                                  "SpecialPool_3", "SpecialPool_4"});
}

TEST_CASE("threads have a name when none is given [test_thread_names_default]") {
    // Adapted: the system keeps 15 characters, so the numbers are lost.
    ThreadPoolExecutor pool(5);

    CHECK(names_in(pool) == std::set<std::string>{"ThreadPoolExecu"});
}

}  // namespace conformance_thread_pool_test
