// SPDX-License-Identifier: MIT
// ctest: concurrency alone
// A program of its own: it stands in for the C library's posix_spawn.
#include <muster/multiprocessing/event.hpp>
#include <muster/process_pool_executor.hpp>

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <spawn.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>

#include "support/attempts.hpp"
#include "support/program.hpp"

namespace {

std::atomic<int> starts{0};  // Of processes. The second one is refused.

}  // namespace

extern "C" int posix_spawn(::pid_t* pid, const char* path,
                           const ::posix_spawn_file_actions_t* actions,
                           const ::posix_spawnattr_t* attributes, char* const* arguments,
                           char* const* environment) {
    const int number = ++starts;
    starts.notify_all();
    if (number == 2) return EAGAIN;
    static const auto original =
        reinterpret_cast<decltype(&::posix_spawn)>(::dlsym(RTLD_NEXT, "posix_spawn"));
    return original(pid, path, actions, attributes, arguments, environment);
}

namespace delayed_retry_test {

namespace {

using namespace std::chrono_literals;

/// Keeps this worker from ending until the test lets it.
void hold_end(const muster::multiprocessing::Event& opening) {
    static std::optional<muster::multiprocessing::Event> awaited;
    awaited.emplace(opening);
    std::atexit([] { (void)awaited->wait_for(muster::test::patience_ms * 1ms); });
}

int succeed_the_second_time(const std::string& attempts,
                            const muster::multiprocessing::Event& opening) {
    if (muster::test::Attempts::next(attempts) == 2) return 2;
    hold_end(opening);
    throw std::runtime_error("the first attempt");
}

}  // namespace

TEST_CASE("a delayed attempt gets a worker though none could take the place of the last one") {
    const muster::test::Attempts attempts;
    const muster::multiprocessing::Event opening;
    // A worker is to be replaced after each attempt.
    muster::ProcessPoolExecutor pool({.max_workers = 1, .max_tasks_per_child = 1});
    const auto task = pool.submit({.retries = 1, .retry_delay = 300ms}, succeed_the_second_time,
                                  attempts.path(), opening);
    for (int seen = starts; seen < 2; seen = starts) starts.wait(seen);
    opening.set();
    REQUIRE(task.wait_for(muster::test::patience_ms * 1ms));
    CHECK(task.result() == 2);
}

}  // namespace delayed_retry_test
