// SPDX-License-Identifier: MIT
// ctest: concurrency alone skip=thread
// ThreadSanitizer: it has a thread of its own.
// A program of its own: it has a thread before main.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/asleep.hpp"
#include "support/program.hpp"

namespace process_fork_server_threads_test {

namespace {

// In this process, and in the fork server, which is this program again.
[[maybe_unused]] const bool early = [] {
    std::thread([] {
        for (;;) ::pause();
    }).detach();
    return true;
}();

int own_pid() { return static_cast<int>(::getpid()); }

std::vector<::pid_t> threads_of(::pid_t process) {
    std::vector<::pid_t> threads;
    for (const auto& each :
         std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task"))
        threads.push_back(static_cast<::pid_t>(std::stol(each.path().filename())));
    return threads;
}

}  // namespace

TEST_CASE("a fork server hears of ends though another thread of its program gets the signal") {
    muster::ProcessPoolExecutor pool(
        {.max_workers = 1, .start_method = muster::StartMethod::forkserver});
    CHECK(pool.submit(own_pid).result() > 0);
    const auto children = muster::test::children_of();
    REQUIRE(children.size() == 1);
    const ::pid_t server = children.front();
    const auto threads = threads_of(server);
    REQUIRE(threads.size() == 2);
    const ::pid_t other = threads[0] == server ? threads[1] : threads[0];

    // It waits. The signal to the other thread has it look, and wait again.
    long before = -1;
    REQUIRE(muster::test::soon([&] { return (before = muster::test::sleeps(server)) != -1; }));
    REQUIRE(::syscall(SYS_tgkill, server, other, SIGCHLD) == 0);
    CHECK(muster::test::soon([&] { return muster::test::sleeps(server) > before; }));
}

}  // namespace process_fork_server_threads_test
