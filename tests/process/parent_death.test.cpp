// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// No worker outlives its parent, however the parent ends.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace process_parent_death_test {

namespace {

using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::test::argument_of_program;
using muster::test::Program;
using muster::test::say;
using muster::test::TaskGate;

int loop_for_ever() {
    volatile bool more = true;
    while (more) {
    }
    return 0;
}

// Says the numbers of all workers, which have begun their tasks or are idle.
void say_workers(const ProcessPoolExecutor& pool) {
    std::string pids;
    for (const int pid : pool.stats().pids) pids += std::to_string(pid) + ' ';
    say(pids);
}

void use_two_workers(ProcessPoolExecutor& pool, bool for_ever) {
    TaskGate gate;
    for (int i = 0; i < 2; ++i)
        pool.post(
            [](const std::string& path, bool go_on) {
                TaskGate::arrive(path, 'a');
                if (go_on) loop_for_ever();
                TaskGate::wait(path);
            },
            gate.path(), for_ever);
    for (int i = 0; i < 2; ++i) (void)gate.arrival();
    gate.open();
    if (!for_ever) pool.wait_idle();
}

[[noreturn]] void wait_to_be_killed() {
    for (;;) ::pause();
}

}  // namespace

TEST_CASE("program: parent" * doctest::skip()) {
    const std::string kind = argument_of_program();
    static ProcessPoolExecutor pool(2);
    if (kind == "idle") use_two_workers(pool, false);
    if (kind == "busy" || kind == "stopped") use_two_workers(pool, true);
    if (kind == "used in a thread that has ended")
        std::thread([] { use_two_workers(pool, true); }).join();
    if (kind == "made in a thread that has ended") {
        ProcessPoolExecutor* made = nullptr;
        std::thread([&made] {
            made = new ProcessPoolExecutor(2);
            use_two_workers(*made, true);
        }).join();
        say_workers(*made);
        wait_to_be_killed();
    }
    if (kind == "forked") {
        use_two_workers(pool, true);
        if (::fork() == 0) {  // It has all descriptors of its parent, and lives on for a while.
            ::alarm(100);
            wait_to_be_killed();
        }
    }
    say_workers(pool);
    wait_to_be_killed();
}

TEST_CASE("a parent that is killed leaves no worker") {
    for (const std::string kind : {"idle", "busy", "stopped", "used in a thread that has ended",
                                   "made in a thread that has ended", "forked"}) {
        CAPTURE(kind);
        Program parent = Program::test_case("parent", kind);
        const auto workers = parent.pids();
        REQUIRE(workers.size() == 2);
        if (kind == "stopped")
            for (const ::pid_t worker : workers) ::kill(worker, SIGSTOP);
        std::vector<::pid_t> forked;
        for (const ::pid_t child : muster::test::children_of(std::to_string(parent.pid())))
            if (child != workers[0] && child != workers[1]) forked.push_back(child);

        parent.kill();

        CHECK(parent.exit_code() == -SIGKILL);
        for (const ::pid_t worker : workers) CHECK(muster::test::ends(worker));
        for (const ::pid_t child : forked) ::kill(child, SIGKILL);
    }
}

TEST_CASE("program: parent that ends by itself" * doctest::skip()) {
    const std::string kind = argument_of_program();
    static ProcessPoolExecutor pool(2);
    use_two_workers(pool, kind != "exit" && kind != "return");
    say_workers(pool);
    if (kind == "exit") std::exit(3);
    if (kind == "_exit") ::_exit(3);
    if (kind == "quick_exit") std::quick_exit(3);
    if (kind == "abort") {
        ::signal(SIGABRT, SIG_DFL);
        std::abort();
    }
    if (kind == "exec") ::execl("/bin/sh", "sh", "-c", "exit 3", nullptr);
}

TEST_CASE("a parent that ends in any other way leaves no worker") {
    for (const std::string kind : {"exit", "_exit", "quick_exit", "abort", "return", "exec"}) {
        CAPTURE(kind);
        Program parent = Program::test_case("parent that ends by itself", kind);
        const auto workers = parent.pids();
        REQUIRE(workers.size() == 2);
        CHECK(parent.exit_code() == (kind == "abort" ? -SIGABRT : kind == "return" ? 0 : 3));
        for (const ::pid_t worker : workers) CHECK(muster::test::ends(worker));
    }
}

TEST_CASE("program: nested" * doctest::skip()) {
    ProcessPoolExecutor pool(1);
    pool.post([] {
        ProcessPoolExecutor inner(1);
        const int pid = inner.submit([] { return static_cast<int>(::getpid()); }).result();
        inner.post([] { loop_for_ever(); });
        say(std::to_string(::getpid()) + ' ' + std::to_string(pid));
        inner.wait_idle();
    });
    wait_to_be_killed();
}

TEST_CASE("a parent that is killed leaves no worker of a worker") {
    Program parent = Program::test_case("nested");
    const auto workers = parent.pids();
    REQUIRE(workers.size() == 2);
    parent.kill();
    for (const ::pid_t worker : workers) CHECK(muster::test::ends(worker));
}

TEST_CASE("a worker that is killed leaves no worker of its own") {
    Program parent = Program::test_case("nested");
    const auto workers = parent.pids();
    REQUIRE(workers.size() == 2);
    ::kill(workers[0], SIGKILL);
    for (const ::pid_t worker : workers) CHECK(muster::test::ends(worker));
}

TEST_CASE("program: starting" * doctest::skip()) {
    ProcessPoolExecutor pool({.max_workers = 2, .initializer = [] {
                                  say(std::to_string(::getpid()));
                                  loop_for_ever();
                              }});
    pool.post([] {});
    wait_to_be_killed();
}

TEST_CASE("a parent that is killed leaves no worker that was just starting") {
    Program parent = Program::test_case("starting");
    const auto workers = parent.pids();
    REQUIRE(workers.size() == 1);
    parent.kill();
    for (const ::pid_t worker : workers) CHECK(muster::test::ends(worker));
}

}  // namespace process_parent_death_test
