// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What processes have of their parent, what they leave behind, and how they end with it. In brackets:
// the case of Python's that says the same.
#include <muster/multiprocessing/process.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/in_copy.hpp"
#include "support/notes.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_process_ends_test {

namespace {

namespace mp = muster::multiprocessing;
using Process = muster::test::TestedProcess;
using muster::InvalidStateError;
using muster::StartMethod;
using muster::StopToken;
using muster::test::argument_of_program;
using muster::test::children_of;
using muster::test::ends;
using muster::test::exit_code_of;
using muster::test::in_copy;
using muster::test::Notes;
using muster::test::open_descriptors;
using muster::test::ProcessGate;
using muster::test::Program;
using muster::test::say;
using muster::test::tested_start_method;
using namespace std::chrono_literals;

int own_pid() { return static_cast<int>(::getpid()); }

}  // namespace

TEST_CASE("a process outlives the thread that started it") {
    const ProcessGate gate;
    mp::Process process = Process{&ProcessGate::pass, gate};
    std::thread([&] { process.start(); }).join();
    CHECK(gate.arrived());
    CHECK_FALSE(process.join_for(100ms));  // It would have been ended by now.
    gate.open();
    process.join();
    CHECK(process.exit_code() == 0);
}

TEST_CASE("a process has the null device as standard input and a group of its own") {
    const Process process{[] {
        struct ::stat in {};
        struct ::stat null {};
        if (::fstat(STDIN_FILENO, &in) != 0 || ::stat("/dev/null", &null) != 0) std::exit(2);
        if (in.st_rdev != null.st_rdev) std::exit(3);
        std::exit(::getpgrp() == ::getpid() ? 0 : 4);
    }};
    const int own = ::dup(STDIN_FILENO);
    int ends_of_pipe[2] = {-1, -1};
    REQUIRE(::pipe2(ends_of_pipe, O_CLOEXEC) == 0);
    ::dup2(ends_of_pipe[0], STDIN_FILENO);
    const auto code = exit_code_of(process);
    ::dup2(own, STDIN_FILENO);
    for (const int fd : {own, ends_of_pipe[0], ends_of_pipe[1]}) ::close(fd);
    CHECK(code == 0);
}

TEST_CASE(
    "exit handlers run in a process that was started afresh, and not in a copy [test_atexit]") {
    const Notes notes;
    const Process process{[](const std::string& path) {
                              static std::string kept;
                              kept = path;
                              std::atexit([] { Notes::add(kept, "exit handler"); });
                          },
                          notes.path()};
    process.start();
    process.join();
    CHECK(process.exit_code() == 0);
    const bool copy = muster::test::tested_start_method() == muster::StartMethod::fork;
    CHECK(notes.lines().size() == (copy ? 0 : 1));
}

TEST_CASE("a hundred processes start, and end as they should [test_many_processes]") {
    for (int round = 0; round < 10; ++round) {
        std::vector<std::unique_ptr<Process>> all;
        for (int i = 0; i < 10; ++i) {
            all.push_back(std::make_unique<Process>([](int code) { std::exit(code); }, i));
            all.back()->start();
        }
        for (int i = 0; i < 10; ++i) {
            all[static_cast<std::size_t>(i)]->join();
            CHECK(all[static_cast<std::size_t>(i)]->exit_code() == i);
        }
    }
}

TEST_CASE("a hundred processes are terminated right after their start [test_many_processes]") {
    std::vector<std::unique_ptr<Process>> all;
    for (int i = 0; i < 100; ++i) {
        all.push_back(std::make_unique<Process>([] {
            for (;;) ::pause();
        }));
        all.back()->start();
        all.back()->terminate();
    }
    for (const auto& process : all) {
        process->join();
        CHECK(process->exit_code() == -SIGTERM);
    }
}

TEST_CASE("neither descriptors nor zombies remain of processes that have ended") {
    (void)exit_code_of(Process{own_pid});  // What is made once is made now.
    const auto before = open_descriptors();
    const auto children = children_of();
    for (int i = 0; i < 10; ++i) {
        (void)exit_code_of(Process{own_pid});
        const ProcessGate gate;
        const Process daemon({.daemon = true}, &ProcessGate::arrive_and_stay, gate);
        daemon.start();
    }
    CHECK(open_descriptors() == before);
    CHECK(children_of() == children);
}

TEST_CASE(
    "a process's descriptors do not grow with its siblings, nor come from the application "
    "[test_child_fd_inflation] [test_closefd]") {
    const auto count = [] {
        return exit_code_of(
            Process{[] { std::exit(static_cast<int>(open_descriptors().size())); }});
    };
    if (tested_start_method() == StartMethod::fork) return;  // It has what the parent has.
    const auto alone = count();
    const int inheritable = ::open("/dev/null", O_RDONLY);
    const ProcessGate gate;
    std::vector<std::unique_ptr<Process>> siblings;
    for (int i = 0; i < 5; ++i) {
        siblings.push_back(std::make_unique<Process>(&ProcessGate::pass, gate));
        siblings.back()->start();
    }
    CHECK(count() == alone);
    gate.open();
    siblings.clear();
    ::close(inheritable);
}

TEST_CASE("a process works where the standard streams are closed [test_error_on_stdio_flush_1]") {
    const Notes notes;
    std::optional<int> code;
    {
        const muster::test::StandardStreamsClosed closed;
        code = exit_code_of(Process{Notes::add, notes.path(), "ran"});
    }
    CHECK(code == 0);
    CHECK(notes.line() == "ran");
}

TEST_CASE(
    "a fork server that is killed takes its processes along, and the next one works "
    "[test_forkserver_sigint, test_forkserver_sigkill]") {
    if (tested_start_method() != StartMethod::forkserver) return;
    for (const int signal : {SIGKILL, SIGTERM, SIGINT}) {
        CAPTURE(signal);
        const Notes notes;
        const ProcessGate gate;
        const Process process{[](const std::string& path, const ProcessGate& its) {
                                  Notes::add(path, std::to_string(::getppid()));
                                  its.pass();
                              },
                              notes.path(), gate};
        process.start();
        CHECK(gate.arrived());
        const ::pid_t server = std::stoi(notes.line());
        CHECK(server != own_pid());
        ::kill(server, signal);
        if (signal != SIGKILL) gate.open();  // It is deaf to the others.
        process.join();
        CHECK(process.exit_code() == (signal == SIGKILL ? -SIGKILL : 0));
        CHECK_FALSE(process.is_alive());
        CHECK(exit_code_of(Process{own_pid}) == 0);
    }
}

TEST_CASE("a process starts although the fork server has just been killed") {
    if (tested_start_method() != StartMethod::forkserver) return;
    const Notes notes;
    const auto note_server = [](const std::string& path) {
        Notes::add(path, std::to_string(::getppid()));
    };
    CHECK(exit_code_of(Process{note_server, notes.path()}) == 0);
    ::kill(std::stoi(notes.line()), SIGKILL);
    CHECK(exit_code_of(Process{note_server, notes.path()}) == 0);
    CHECK(notes.lines().front() != notes.lines().back());
}

// --- the end of the parent

namespace {

void family_of(const std::string& path, const ProcessGate& gate, bool with_children) {
    const auto sleep = [](const std::string& its_path, const ProcessGate& its) {
        Notes::add(its_path, std::to_string(own_pid()));
        its.arrive_and_stay();
    };
    if (!with_children) return sleep(path, gate);
    Notes::add(path, std::to_string(own_pid()));
    const ProcessGate inner;
    const Process child{sleep, path, inner};
    child.start();
    (void)inner.arrived();
    gate.arrive_and_stay();
}

}  // namespace

TEST_CASE("program: parent of processes" * doctest::skip()) {
    const std::string path = argument_of_program();
    const ProcessGate first, second;
    const Process daemon({.daemon = true}, family_of, path, first, false);
    const Process process{family_of, path, second, true};
    daemon.start();
    std::thread([&] { process.start(); }).join();
    (void)first.arrived();
    (void)second.arrived();
    say("there");
    for (;;) ::pause();
}

TEST_CASE("a parent that is killed leaves no process") {
    for (const int signal : {SIGKILL, SIGTERM}) {
        CAPTURE(signal);
        const Notes notes;
        Program parent = Program::test_case("parent of processes", notes.path());
        CHECK(parent.line() == "there");
        const auto pids = notes.lines();
        CHECK(pids.size() == 3);
        for (const std::string& pid : pids) CHECK(::kill(std::stoi(pid), 0) == 0);
        if (signal == SIGKILL)
            for (const std::string& pid : pids) ::kill(std::stoi(pid), SIGSTOP);

        parent.kill(signal);

        CHECK(parent.exit_code() == -signal);
        for (const std::string& pid : pids) CHECK(ends(std::stoi(pid)));
    }
}

TEST_CASE("program: parent without the system's help" * doctest::skip()) {
    const ProcessGate gate;
    const Process process{[](const ProcessGate& its) {
                              ::prctl(PR_SET_PDEATHSIG, 0);
                              its.arrive_and_stay();
                          },
                          gate};
    process.start();
    (void)gate.arrived();
    say(std::to_string(process.pid()));
    for (;;) ::pause();
}

TEST_CASE("a parent that is killed leaves no process where the system does not help") {
    Program parent = Program::test_case("parent without the system's help");
    const auto pids = parent.pids();
    REQUIRE(pids.size() == 1);
    parent.kill();
    CHECK(parent.exit_code() == -SIGKILL);
    CHECK(ends(pids[0]));
}

TEST_CASE("program: text that waits" * doctest::skip()) {
    std::fputs("waited, ", stdout);
    (void)exit_code_of(Process{[] { std::fputs("written by the process, ", stdout); }});
    std::fputs("written last", stdout);
}

TEST_CASE("what waits in the parent's buffers is written once [test_noforkbomb]") {
    std::string text = Program::test_case("text that waits").rest();
    CHECK(text.size() == std::string("waited, written by the process, written last").size());
    CHECK(text.find("written by the process, ") != std::string::npos);
}

TEST_CASE("a process that is killed leaves no process of its own") {
    const Notes notes;
    const ProcessGate gate;
    const Process process{family_of, notes.path(), gate, true};
    process.start();
    CHECK(gate.arrived());
    process.kill();
    const auto pids = notes.lines();
    CHECK(pids.size() == 2);
    for (const std::string& pid : pids) CHECK(ends(std::stoi(pid)));
}

TEST_CASE("program: global processes" * doctest::skip()) {
    const std::string path = argument_of_program();
    const ProcessGate gate;
    static const Process daemon({.daemon = true}, &ProcessGate::arrive_and_stay, gate);
    static const Process process{[](const StopToken& stop, const std::string& its) {
                                     Notes::add(its, std::to_string(::getppid()));
                                     while (!stop.stop_requested()) std::this_thread::yield();
                                     Notes::add(its, "stopped");
                                 },
                                 path};
    daemon.start();
    process.start();
    (void)gate.arrived();
    say(std::to_string(daemon.pid()));
    std::exit(3);
}

TEST_CASE("at a program's end daemons are terminated and the others asked to stop and joined") {
    const Notes notes;
    Program program = Program::test_case("global processes", notes.path());
    const ::pid_t daemon = std::stoi(program.line());
    CHECK(program.exit_code() == 3);
    CHECK(::kill(daemon, 0) == -1);
    const auto lines = notes.lines();
    REQUIRE(lines.size() == 2);
    CHECK(::kill(std::stoi(lines[0]), 0) == -1);  // The parent, or the fork server.
    CHECK(lines[1] == "stopped");
}

// --- copies that the application makes

TEST_CASE("in a copy of the parent its processes can neither be asked nor ended") {
    const ProcessGate gate;
    const Process process({.name = "original"}, &ProcessGate::pass, gate);
    process.start();
    CHECK(gate.arrived());
    auto daemon = std::make_unique<Process>(mp::ProcessOptions{.daemon = true}, own_pid);
    const ProcessGate other;
    auto busy = std::make_unique<Process>(mp::ProcessOptions{.daemon = true},
                                          &ProcessGate::arrive_and_stay, other);
    busy->start();
    const auto refuses = [](const std::function<void()>& call) {
        try {
            call();
        } catch (const InvalidStateError&) {
            return true;
        }
        return false;
    };
    CHECK(in_copy([&] {
              if (process.name() != "original" || process.daemon()) return 1;
              if (process.pid() == 0) return 2;
              if (!refuses([&] { process.join(); })) return 3;
              if (!refuses([&] { (void)process.is_alive(); })) return 4;
              if (!refuses([&] { (void)process.exit_code(); })) return 5;
              if (!refuses([&] { process.kill(); })) return 6;
              if (!refuses([&] { (void)process.sentinel(); })) return 7;
              if (!refuses([&] { (void)process.request_stop(); })) return 8;
              if (!refuses([&] { daemon->start(); })) return 9;
              if (!mp::active_children().empty()) return 10;
              daemon.reset();
              busy.reset();
              return 0;
          }) == 0);
    CHECK(process.is_alive());
    CHECK(busy->is_alive());
    gate.open();
    process.join();
    CHECK(process.exit_code() == 0);
}

TEST_CASE("a copy of the parent has processes of its own") {
    const Process before{own_pid};
    (void)exit_code_of(before);
    CHECK(in_copy([] {
              const Process process{
                  [] { std::exit(mp::parent_process()->pid() == ::getppid() ? 5 : 6); }};
              const auto code = exit_code_of(process);
              return tested_start_method() == StartMethod::forkserver ? (code ? 5 : 0)
                                                                      : code.value_or(0);
          }) == 5);
}

}  // namespace multiprocessing_process_ends_test
