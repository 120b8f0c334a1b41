// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Processes, their parents and their children. In brackets: the case of Python's that says the same.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/family.hpp"
#include "support/notes.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_process_family_test {

namespace {

namespace mp = muster::multiprocessing;
using Process = muster::test::TestedProcess;
using muster::StartMethod;
using muster::test::Copy;
using muster::test::exit_code_of;
using muster::test::Notes;
using muster::test::ProcessGate;
using muster::test::tested_start_method;
using namespace std::chrono_literals;

int own_pid() { return static_cast<int>(::getpid()); }

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
    CHECK(exit_code_of(process) == 0);
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
            (void)exit_code_of(Process{grandchild, path});
        },
        notes.path());
    CHECK(exit_code_of(process) == 0);
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

TEST_CASE("active_children can be terminated, killed and joined") {
    const ProcessGate gate;
    const Process first({.name = "first"}, &ProcessGate::pass, gate);
    const Process second({.name = "second"}, &ProcessGate::pass, gate);
    first.start();
    second.start();
    const auto children = mp::active_children();
    REQUIRE(children.size() == 2);
    for (const auto& child : children) {
        CHECK_FALSE(child.join_for(0s));
        CHECK_FALSE(child.exit_code());
        child.name() == "first" ? child.terminate() : child.kill();
        REQUIRE(child.join_for(200s));
        child.join();
        CHECK(child.exit_code() == (child.name() == "first" ? -SIGTERM : -SIGKILL));
        child.terminate();  // Nobody is there any more.
    }
    CHECK(first.exit_code() == -SIGTERM);
}

TEST_CASE(
    "a process can wait for its parent, and signals only its children [test_parent_process]") {
    const Notes notes;
    const Process process{[](const std::string& path) {
                              const auto parent = mp::parent_process();
                              const bool ended = parent->join_for(1ms);
                              Notes::add(path, ended || parent->exit_code() ? "dead" : "alive");
                              try {
                                  parent->kill();
                              } catch (const muster::InvalidStateError& error) {
                                  Notes::add(path, error.what());
                              }
                          },
                          notes.path()};
    CHECK(exit_code_of(process) == 0);
    CHECK(notes.lines() ==
          std::vector<std::string>{"alive", "muster: kill() for process 'MainProcess' (pid " +
                                                std::to_string(own_pid()) +
                                                "), which this process has not started; only its "
                                                "parent can do that"});
    CHECK_THROWS_AS(mp::current_process().join(), muster::InvalidStateError);
    CHECK_THROWS_AS(mp::current_process().terminate(), muster::InvalidStateError);
}

TEST_CASE("the end of a process can be waited for that is not a child") {
    const mp::Event begun, ended;
    Copy first([&] {
        const mp::ProcessInfo self = mp::current_process();
        if (::fork() == 0) {
            const bool too_early = self.join_for(1ms);
            begun.set();
            if (!too_early && self.join_for(200s) && !self.is_alive()) ended.set();
            ::_exit(0);
        }
        if (!begun.wait_for(200s)) ::_exit(1);
    });
    CHECK(first.join() == 0);
    CHECK(ended.wait_for(200s));
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
        if (place.size() < 2) (void)exit_code_of(Process{tree, path, place + child});
}

}  // namespace

TEST_CASE(
    "processes start processes, which start processes [test_recursion] [test_process_in_process]") {
    const Notes notes;
    CHECK(exit_code_of(Process{tree, notes.path(), std::string()}) == 0);
    CHECK(notes.lines() == std::vector<std::string>{"", "0", "00", "01", "1", "10", "11"});
}

TEST_CASE("processes use pools [pool_in_process]") {
    const Process process{[] {
        muster::test::ProcessPool pool(1);
        std::exit(pool.submit([](int x) { return x * x; }, 7).result());
    }};
    CHECK(exit_code_of(process) == 49);
}

TEST_CASE("pools' workers use processes") {
    muster::test::ProcessPool pool(1);
    CHECK(pool.submit([] { return exit_code_of(Process{[] { std::exit(3); }}).value_or(-1); })
              .result() == 3);
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
                (void)exit_code_of(Process{grandchild, its});
            },
            queue);
        CHECK(exit_code_of(process) == 0);
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
    CHECK(exit_code_of(*process) == 23);
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
                              its_gate.arrive_and_stay();
                          },
                          permit, gate};
    process.start();
    CHECK(gate.arrived());
    CHECK_FALSE(permit.try_acquire());
    process.kill();
    process.join();
    CHECK(permit.try_acquire());
}

TEST_CASE("cpu_count says how many this process may use [test_cpu_count]") {
    CHECK(mp::cpu_count() >= 1);
    CHECK(mp::cpu_count() <= std::max(1U, std::thread::hardware_concurrency()));
}

}  // namespace multiprocessing_process_family_test
