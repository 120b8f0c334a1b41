// SPDX-License-Identifier: MIT
// ctest: concurrency
// Workers run the file that runs here, whatever becomes of its name; and no other build.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include "support/program.hpp"

namespace process_executable_test {

namespace {

using muster::ProcessPoolExecutor;
using muster::test::Program;
using muster::test::say;
namespace fs = std::filesystem;

int own_pid() { return static_cast<int>(::getpid()); }

std::string message_of(muster::Future<int> future) {
    try {
        return "no error but " + std::to_string(future.result());
    } catch (const muster::EntryGuardError& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("program: own file" * doctest::skip()) {
    const std::string kind = muster::test::argument_of_program();
    const fs::path self = muster::test::own_path();
    ProcessPoolExecutor pool(1);
    const int first = pool.submit(own_pid).result();
    if (kind == "deleted") fs::remove(self);
    if (kind == "renamed") fs::rename(self, self.string() + ".renamed");
    if (kind == "replaced") {
        fs::copy_file("/bin/sh", self.string() + ".new");
        fs::rename(self.string() + ".new", self);
    }
    if (kind == "folder left") fs::current_path("/");
    ::kill(first, SIGKILL);
    const int second = pool.submit(own_pid).result();
    say(second != first && ProcessPoolExecutor(1).submit(own_pid).result() != 0
            ? "all well"
            : "the same worker");
}

TEST_CASE("workers start although the program's file was deleted, renamed or replaced meanwhile") {
    for (const std::string kind : {"deleted", "renamed", "replaced", "folder left"}) {
        CAPTURE(kind);
        char folder[] = "/tmp/muster-copy-XXXXXX";
        REQUIRE(::mkdtemp(folder));
        const fs::path copy = fs::path(folder) / "copy";
        fs::copy_file(muster::test::own_path(), copy);
        {
            Program program({copy, "--no-skip", "--quiet", "--test-case=program: own file"}, kind);
            CHECK(program.line() == "all well");
            CHECK(program.exit_code() == 0);
        }
        fs::remove_all(folder);
    }
}

TEST_CASE("a copy of the program may be named as the one to start") {
    char folder[] = "/tmp/muster-copy-XXXXXX";
    REQUIRE(::mkdtemp(folder));
    const fs::path copy = fs::path(folder) / "copy";
    fs::copy_file(muster::test::own_path(), copy);
    {
        ProcessPoolExecutor pool({.max_workers = 1, .executable = copy});
        CHECK(pool.submit([] { return muster::test::own_path(); }).result() == copy);
    }
    fs::remove_all(folder);
}

TEST_CASE("a worker of another build is refused before any task runs") {
    const std::string path = std::string(TEST_PROGRAMS) + "/other_build";
    for (const auto method : {muster::StartMethod::spawn, muster::StartMethod::forkserver}) {
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method, .executable = path});
        const std::string message = message_of(pool.submit([] { return 1; }));
        CHECK_MESSAGE(message.find(path + " is another build") != std::string::npos, message);
    }
}

}  // namespace process_executable_test
