// SPDX-License-Identifier: MIT
// ctest: concurrency
// Processes of programs without the guard.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "support/notes.hpp"
#include "support/program.hpp"

namespace multiprocessing_process_guard_test {

namespace {

using muster::test::Notes;
using muster::test::Program;

Program program_that(const std::string& what, const Notes& starts) {
    return Program({std::string(TEST_PROGRAMS) + "/no_guard_process", what, starts.path()});
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE(
    "start throws EntryGuardError without the guard, soon, and the program never multiplies "
    "[test_noforkbomb]") {
    for (const std::string what : {"return", "fail", "run", "start", "forkserver"}) {
        CAPTURE(what);
        const Notes starts;
        Program program = program_that(what, starts);
        for (int i = 0; i < 2; ++i) {  // It may be tried again.
            const std::string message = program.line();
            CHECK_MESSAGE(contains(message,
                                   "EntryGuardError: muster: a worker process did not "
                                   "reach muster::entry_guard(): make "
                                   "`muster::entry_guard();` the first statement of main"),
                          message);
            CHECK(program.line() == "0 0");
        }
        CHECK(program.line() == "quickly");
        CHECK(program.rest().empty());
        CHECK(program.exit_code() == 0);
        const auto lines = starts.lines();
        CHECK(std::count(lines.begin(), lines.end(), "parent") == 1);
        CHECK(std::count(lines.begin(), lines.end(), "worker") == 2);
    }
}

TEST_CASE("start throws WorkerCrashed when a signal ends the process before the guard") {
    const Notes starts;
    Program program = program_that("crash", starts);
    const std::string message = program.line();
    CHECK_MESSAGE(contains(message, "WorkerCrashed: muster: process 'Process-1' (pid "), message);
    CHECK_MESSAGE(contains(message, "was ended by SIGABRT before it reached muster::entry_guard()"),
                  message);
    CHECK(program.line() == "0 0");
}

TEST_CASE("a program with the guard starts a process") {
    const Notes starts;
    Program program = program_that("guarded", starts);
    CHECK(program.line() == "exit code 4");
    CHECK(program.line() == "quickly");
}

}  // namespace multiprocessing_process_guard_test
