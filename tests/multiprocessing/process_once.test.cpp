// SPDX-License-Identifier: MIT
// ctest: concurrency
// A process makes its call once, whatever happens to the fork server that has started it.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <vector>

#include "support/notes.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_process_once_test {

namespace {

using muster::multiprocessing::Process;
using muster::test::exit_code_of;
using muster::test::Notes;
using namespace std::chrono_literals;

constexpr const char* variable = "TEST_DEADLY_FORK";

/// Is called after a fork, in the process that was forked. Ends it, if there is a file of that name.
void die_once() {
    const char* const file = std::getenv(variable);
    if (file == nullptr || ::unlink(file) != 0) return;
    ::usleep(200'000);  // The copy could make its call meanwhile.
    ::kill(::getpid(), SIGKILL);
}
[[maybe_unused]] const int registered = ::pthread_atfork(nullptr, die_once, nullptr);

}  // namespace

TEST_CASE("a fork server that ends before it has told of a process has not run its call") {
    char file[] = "/tmp/muster-deadly-fork-XXXXXX";
    const int created = ::mkstemp(file);
    REQUIRE(created != -1);
    ::close(created);
    ::setenv(variable, file, 1);
    const Notes notes;
    const Process process(
        {.start_method = muster::StartMethod::forkserver, .start_timeout = 5min},
        [](const std::string& path) { Notes::add(path, "called"); }, notes.path());
    CHECK(exit_code_of(process) == 0);
    ::unsetenv(variable);
    CHECK(::unlink(file) == -1);  // The first server has ended.
    CHECK(notes.lines() == std::vector<std::string>{"called"});
}

}  // namespace multiprocessing_process_once_test
