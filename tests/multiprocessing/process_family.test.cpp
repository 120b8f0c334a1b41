// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Processes, their parents and their children. In brackets: the case of Python's that says the same.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
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

namespace multiprocessing_process_family_test {

namespace {

namespace mp = muster::multiprocessing;
using Process = muster::test::TestedProcess;
using muster::InvalidStateError;
using muster::StartMethod;
using muster::StopToken;
using muster::test::argument_of_program;
using muster::test::children_of;
using muster::test::ends;
using muster::test::in_copy;
using muster::test::Notes;
using muster::test::open_descriptors;
using muster::test::ProcessGate;
using muster::test::Program;
using muster::test::say;
using muster::test::tested_start_method;

int own_pid() { return static_cast<int>(::getpid()); }

void arrive_and_sleep(const ProcessGate& gate) {
    gate.arrive();
    for (;;) ::pause();
}

std::optional<int> code_of(const mp::Process& process) {
    process.start();
    process.join();
    return process.exit_code();
}

bool is_active(const mp::Process& process) {
    const auto all = mp::active_children();
    return std::any_of(all.begin(), all.end(),
                       [&](const auto& each) { return each.pid() == process.pid(); });
}

}  // namespace

TEST_CASE("the main process knows itself, and has no parent that muster knows [test_current]") {
    const mp::ProcessInfo self = mp::current_process();
    CHECK(self.name() == "MainProcess");
    CHECK(self.pid() == own_pid());
    CHECK(self.id() == own_pid());
    CHECK(self.is_alive());
    CHECK_FALSE(self.daemon());
    CHECK_FALSE(mp::parent_process());
}

TEST_CASE(
    "a process knows itself and its parent [test_parent_process_attributes] "
    "[test_process_mainthread_native_id]") {
    const Notes notes;
    const Process process(
        {.name = "knowing"},
        [](const std::string& path) {
            const auto self = mp::current_process();
            const auto parent = mp::parent_process();
            Notes::add(path, self.name());
            Notes::add(path, self.pid() == own_pid() && self.is_alive() ? "itself" : "another");
            Notes::add(path, parent->name() + ' ' + std::to_string(parent->pid()));
            Notes::add(path, parent->is_alive() ? "alive" : "dead");
            Notes::add(path, muster::in_worker() ? "worker" : "none");
            Notes::add(path, muster::threading::current_thread().id() == own_pid() ? "main thread"
                                                                                   : "another");
        },
        notes.path());
    CHECK(code_of(process) == 0);
    CHECK(notes.lines() == std::vector<std::string>{"knowing", "itself",
                                                    "MainProcess " + std::to_string(own_pid()),
                                                    "alive", "worker", "main thread"});
}

TEST_CASE("a pool's worker knows itself and its parent") {
    muster::test::ProcessPool pool(1);
    CHECK(pool.submit([] { return mp::current_process().name(); }).result() == "PoolWorker");
    CHECK(pool.submit([] { return mp::parent_process()->pid(); }).result() == own_pid());
    CHECK(pool.submit([] { return mp::parent_process()->name(); }).result() == "MainProcess");
}

TEST_CASE(
    "a process's parent is the process that started it, not that one's [test_parent_process]") {
    const Notes notes;
    const Process process(
        {.name = "between"},
        [](const std::string& path) {
            const auto grandchild = [](const std::string& its) {
                const auto parent = mp::parent_process();
                Notes::add(its, parent->name() + ' ' + std::to_string(parent->pid()));
            };
            (void)code_of(Process{grandchild, path});
        },
        notes.path());
    CHECK(code_of(process) == 0);
    CHECK(notes.line() == "between " + std::to_string(process.pid()));
}

TEST_CASE(
    "active_children are those started and not ended, and are reaped by it "
    "[test_active_children]") {
    CHECK(mp::active_children().empty());
    const ProcessGate gate;
    const Process process({.name = "active"}, &ProcessGate::pass, gate);
    CHECK(mp::active_children().empty());
    process.start();
    const auto children = mp::active_children();
    REQUIRE(children.size() == 1);
    CHECK(children[0].name() == "active");
    CHECK(children[0].pid() == process.pid());
    CHECK(children[0].is_alive());
    CHECK_FALSE(children[0].daemon());
    gate.open();
    process.join();
    CHECK(mp::active_children().empty());
    CHECK_FALSE(children[0].is_alive());

    const Process other{own_pid};
    other.start();
    while (is_active(other)) std::this_thread::yield();
    CHECK(::kill(other.pid(), 0) == -1);
}

TEST_CASE("a start reaps the children that have ended") {
    const Process first{own_pid}, second{own_pid};
    first.start();
    ::pollfd end{first.sentinel(), POLLIN, 0};
    CHECK(::poll(&end, 1, muster::test::patience_ms) == 1);
    second.start();
    if (tested_start_method() != StartMethod::forkserver) CHECK(::kill(first.pid(), 0) == -1);
    second.join();
}

namespace {

void tree(const std::string& path, const std::string& place) {
    Notes::add(path, place);
    for (const char* const child : {"0", "1"})
        if (place.size() < 2) (void)code_of(Process{tree, path, place + child});
}

}  // namespace

TEST_CASE(
    "processes start processes, which start processes [test_recursion] [test_process_in_process]") {
    const Notes notes;
    CHECK(code_of(Process{tree, notes.path(), std::string()}) == 0);
    CHECK(notes.lines() == std::vector<std::string>{"", "0", "00", "01", "1", "10", "11"});
}

TEST_CASE("processes use pools [pool_in_process]") {
    const Process process{[] {
        muster::test::ProcessPool pool(1);
        std::exit(pool.submit([](int x) { return x * x; }, 7).result());
    }};
    CHECK(code_of(process) == 49);
}

TEST_CASE("pools' workers use processes") {
    muster::test::ProcessPool pool(1);
    CHECK(
        pool.submit([] { return code_of(Process{[] { std::exit(3); }}).value_or(-1); }).result() ==
        3);
}

TEST_CASE("a process waits for the threads it has started [test_wait_for_threads]") {
    const Notes notes;
    const Process process{[](const std::string& path) {
                              const muster::threading::Thread thread{
                                  [](const StopToken& stop, const std::string& its) {
                                      while (!stop.stop_requested()) std::this_thread::yield();
                                      Notes::add(its, "ended");
                                  },
                                  path};
                              thread.start();
                          },
                          notes.path()};
    CHECK(code_of(process) == 0);
    CHECK(notes.line() == "ended");
}

TEST_CASE(
    "one queue works with processes of all start methods, and is passed on "
    "[test_mixed_startmethod] [test_nested_startmethod]") {
    const mp::Queue<int> queue(0);
    for (const StartMethod method :
         {StartMethod::spawn, StartMethod::fork, StartMethod::forkserver}) {
        const mp::Process process(
            {.start_method = method, .start_timeout = std::chrono::minutes(5)},
            [](const mp::Queue<int>& its) {
                const auto grandchild = [](const mp::Queue<int>& passed) { passed.put(5); };
                (void)code_of(Process{grandchild, its});
            },
            queue);
        CHECK(code_of(process) == 0);
        CHECK(queue.try_get() == 5);
    }
}

TEST_CASE("what only the arguments refer to is there when the process begins") {
    std::unique_ptr<Process> process;
    {
        const mp::Queue<int> queue(0);
        queue.put(23);
        process = std::make_unique<Process>(
            [](const mp::Queue<int>& its) { std::exit(its.try_get().value_or(1)); }, queue);
    }
    CHECK(code_of(*process) == 23);
}

TEST_CASE("arguments are let go of by the start [test_lose_target_ref]") {
    auto& memory = muster::detail::Children::own().memory();
    constexpr std::size_t size = 8 << 20;
    const ProcessGate gate;
    const Process process{[](const ProcessGate& its, const std::string&) { its.pass(); }, gate,
                          std::string(size, 'x')};
    const auto other = memory.allocate(size + 4096);
    memory.free(other, size + 4096);
    process.start();
    CHECK(gate.arrived());
    const auto first = memory.allocate(size + 4096);
    const auto second = memory.allocate(size + 4096);
    CHECK(std::min(first, second) < other);  // One of them was the argument's.
    memory.free(first, size + 4096);
    memory.free(second, size + 4096);
    gate.open();
}

TEST_CASE("what a process held that was killed is free when it is joined") {
    const mp::Semaphore permit(1);
    const ProcessGate gate;
    const Process process{[](const mp::Semaphore& its, const ProcessGate& its_gate) {
                              its.acquire();
                              arrive_and_sleep(its_gate);
                          },
                          permit, gate};
    process.start();
    CHECK(gate.arrived());
    CHECK_FALSE(permit.try_acquire());
    process.kill();
    process.join();
    CHECK(permit.try_acquire());
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
    (void)code_of(Process{own_pid});  // What is made once is made now.
    const auto before = open_descriptors();
    const auto children = children_of();
    for (int i = 0; i < 10; ++i) {
        (void)code_of(Process{own_pid});
        const ProcessGate gate;
        const Process daemon({.daemon = true}, arrive_and_sleep, gate);
        daemon.start();
    }
    CHECK(open_descriptors() == before);
    CHECK(children_of() == children);
}

TEST_CASE(
    "a process's descriptors do not grow with its siblings, nor come from the application "
    "[test_child_fd_inflation] [test_closefd]") {
    const auto count = [] {
        return code_of(Process{[] { std::exit(static_cast<int>(open_descriptors().size())); }});
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

TEST_CASE("a process works where the standard streams are closed [test_error_on_stdio_flush]") {
    const Notes notes;
    std::optional<int> code;
    {
        const muster::test::StandardStreamsClosed closed;
        code = code_of(Process{Notes::add, notes.path(), "ran"});
    }
    CHECK(code == 0);
    CHECK(notes.line() == "ran");
}

TEST_CASE(
    "a fork server that is killed takes its processes along, and the next one works "
    "[test_forkserver_sigkill]") {
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
        CHECK(process.exit_code() == (signal == SIGKILL ? std::nullopt : std::optional(0)));
        CHECK(code_of(Process{own_pid}) == 0);
    }
}

TEST_CASE("cpu_count says how many this process may use [test_cpu_count]") {
    CHECK(mp::cpu_count() >= 1);
    CHECK(mp::cpu_count() <= std::max(1U, std::thread::hardware_concurrency()));
}

// --- the end of the parent

namespace {

void family_of(const std::string& path, const ProcessGate& gate, bool with_children) {
    const auto sleep = [](const std::string& its_path, const ProcessGate& its) {
        Notes::add(its_path, std::to_string(own_pid()));
        arrive_and_sleep(its);
    };
    if (!with_children) return sleep(path, gate);
    Notes::add(path, std::to_string(own_pid()));
    const ProcessGate inner;
    const Process child{sleep, path, inner};
    child.start();
    (void)inner.arrived();
    arrive_and_sleep(gate);
}

}  // namespace

TEST_CASE("program: parent" * doctest::skip()) {
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
        Program parent = Program::test_case("parent", notes.path());
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
    static const Process daemon({.daemon = true}, arrive_and_sleep, gate);
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
    auto busy =
        std::make_unique<Process>(mp::ProcessOptions{.daemon = true}, arrive_and_sleep, other);
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
    (void)code_of(before);
    CHECK(in_copy([] {
              const Process process{
                  [] { std::exit(mp::parent_process()->pid() == ::getppid() ? 5 : 6); }};
              const auto code = code_of(process);
              return tested_start_method() == StartMethod::forkserver ? (code ? 5 : 0)
                                                                      : code.value_or(0);
          }) == 5);
}

}  // namespace multiprocessing_process_family_test
