// SPDX-License-Identifier: MIT
// ctest: concurrency
// The application forks, and starts programs of its own, at any moment of a pool's life.
#include <muster/process_pool_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <thread>
#include <vector>

#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace life_cycle_fork_exec_test {

namespace {

using muster::StartMethod;

/// Runs a shell that ends with 0 if it has no more descriptors than it was given, and its own.
int descriptors_of_program() {
    const ::pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(200);
        ::execl("/bin/sh", "sh", "-c",
                "for each in /proc/self/fd/*; do"
                " case $(readlink $each) in *memfd:*|socket:*|*eventfd*|*pidfd*) exit 1;; esac;"
                " done; exit 0",
                nullptr);
        ::_exit(127);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// A copy that uses nothing of the original's, and leaves by `exit`, as most programs do.
int end_of_copy() {
    const ::pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(200);
        std::exit(5);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("program: forks while pools come and go" * doctest::skip()) {
    std::atomic<bool> over{false};
    std::thread user([&] {
        for (int round = 0; !over; ++round) {
            muster::ThreadPoolExecutor threads(2);
            muster::ProcessPoolExecutor processes(
                {.max_workers = 2,
                 .start_method = round % 3 == 0   ? StartMethod::spawn
                                 : round % 3 == 1 ? StartMethod::fork
                                                  : StartMethod::forkserver,
                 .start_timeout = std::chrono::minutes(5)});  // Copies keep the processors busy.
            const auto crash = processes.submit([] { ::_exit(1); });
            const auto sum = processes.submit([](int x) { return x + 1; }, round);
            if (threads.submit([] { return 2; }).result() != 2 || sum.result() != round + 1)
                ::_exit(9);
            crash.wait();
        }
    });
    int leaks = 0, bad_ends = 0;
    for (int i = 0; i < 100; ++i) {
        leaks += descriptors_of_program() != 0;
        bad_ends += end_of_copy() != 5;
    }
    over = true;
    user.join();
    muster::test::say(std::to_string(leaks) + " leaks, " + std::to_string(bad_ends) + " bad ends");
}

TEST_CASE("copies and programs that are started at any moment have nothing of the pools") {
    auto program = muster::test::Program::test_case("forks while pools come and go");
    CHECK(program.line() == "0 leaks, 0 bad ends");
    CHECK(program.exit_code() == 0);
}

}  // namespace life_cycle_fork_exec_test
