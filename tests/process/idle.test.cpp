// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods skip=thread
// ThreadSanitizer: it has a thread of its own, which wakes all the time.
// A pool that has nothing to do sleeps, whatever it had to do before.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace process_idle_test {

namespace {

using muster::test::ProcessPool;
using muster::test::TaskGate;
using namespace std::chrono_literals;

/// How often the threads of a process, and of all that it has started, went to sleep; but for the
/// thread that asks.
long sleeps_of_all(const std::string& process) {
    long sum = 0;
    const std::string asks = std::to_string(::gettid());
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + process + "/task"))
        if (thread.path().filename() != asks) sum += muster::test::sleeps_of(thread);
    for (const ::pid_t child : muster::test::children_of(process))
        sum += sleeps_of_all(std::to_string(child));
    return sum;
}

long sleeps_in(std::chrono::milliseconds time) {
    const long before = sleeps_of_all("self");
    std::this_thread::sleep_for(time);
    return sleeps_of_all("self") - before;
}

}  // namespace

TEST_CASE("an idle pool wakes nobody: no thread here, no worker, nor what the workers come from") {
    ProcessPool pool(2);
    CHECK(pool.submit({.timeout = 200s}, [] { return 1; }).result() == 1);
    CHECK_THROWS_AS(pool.submit({.timeout = 10ms}, [] { ::pause(); }).result(),
                    muster::TaskTimeout);
    CHECK_THROWS_AS(
        pool.submit({.retries = 1, .retry_delay = 1ms}, [] { throw std::string("twice"); })
            .result(),
        muster::RemoteError);
    CHECK_THROWS_AS(pool.submit([] { ::raise(SIGKILL); }).result(), muster::WorkerCrashed);
    pool.submit([] {}).add_done_callback([](const auto&) {});
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto second = pool.submit(TaskGate::pass, gate.path(), 'b');
    for (int i = 0; i < 2; ++i) (void)gate.arrival();  // Both workers are there.
    gate.open();
    CHECK(first.result() == 'a');
    CHECK(second.result() == 'b');
    pool.wait_idle();

    long sleeps = 1;  // At first some may still be on their way to sleep.
    for (int tries = 0; sleeps != 0 && tries < 10; ++tries) sleeps = sleeps_in(2500ms);
    CHECK(sleeps == 0);
    CHECK(pool.stats().pids.size() == 2);
}

}  // namespace process_idle_test
