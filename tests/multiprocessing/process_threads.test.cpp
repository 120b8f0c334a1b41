// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What a process does with the threads that it has started, when its call is over. In brackets: the
// case of Python's that says the same.
#include <muster/multiprocessing.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/in_copy.hpp"
#include "support/notes.hpp"
#include "support/process_gate.hpp"
#include "support/program.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_process_threads_test {

namespace {

using Process = muster::test::TestedProcess;
using muster::StopToken;
using muster::test::exit_code_of;
using muster::test::Notes;
using muster::test::ProcessGate;
using muster::threading::Thread;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE("a process waits for the threads it has started [test_wait_for_threads]") {
    const Notes notes;
    const Process process{[](const std::string& path) {
                              const Thread thread{
                                  [](const StopToken& stop, const std::string& its) {
                                      while (!stop.stop_requested()) std::this_thread::yield();
                                      Notes::add(its, "ended");
                                  },
                                  path};
                              thread.start();
                          },
                          notes.path()};
    CHECK(exit_code_of(process) == 0);
    CHECK(notes.line() == "ended");
}

namespace {

using ThreadStarter = void (*)(const ProcessGate&, const std::string&);

void linger(const StopToken& stop, const ProcessGate& gate, const std::string& path) {
    gate.pass();
    while (!stop.stop_requested()) std::this_thread::yield();
    Notes::add(path, "ended");
}

void leave_alone(const ProcessGate& gate, const std::string& path) {
    const auto thread = std::make_shared<std::optional<Thread>>();  // Its own call has it, too.
    thread->emplace([thread, gate, path](const StopToken& stop) { linger(stop, gate, path); });
    (*thread)->start();
    gate.arrival.wait();
}
void keep_in_static(const ProcessGate& gate, const std::string& path) {
    static const Thread thread{linger, gate, path};
    thread.start();
    gate.arrival.wait();
}
void let_thread_start_thread(const ProcessGate& gate, const std::string& path) {
    const Thread first{leave_alone, gate, path};
    first.start();
    first.join();
}
void have_thread_forked(const ProcessGate& gate, const std::string& path) {
    leave_alone(gate, path);
    // In the copy, that thread alone ends, and with it what it has of the process.
    const Thread forking{[] { (void)muster::test::in_copy([] { return 0; }); }};
    forking.start();
    forking.join();
}
void keep_and_throw(const ProcessGate& gate, const std::string& path) {
    leave_alone(gate, path);
    throw std::runtime_error("and the thread goes on");
}

}  // namespace

TEST_CASE(
    "a process asks the threads that it has started to stop, wherever their handles are, and "
    "waits") {
    for (const ThreadStarter start : {leave_alone, keep_in_static, let_thread_start_thread,
                                      have_thread_forked, keep_and_throw}) {
        const Notes notes;
        const ProcessGate gate;
        const Process process{start, gate, notes.path()};
        process.start();
        CHECK(gate.arrived());
        CHECK_FALSE(process.join_for(100ms));  // It would have ended by now.
        gate.open();
        process.join();
        CHECK(process.exit_code() == (start == keep_and_throw ? 1 : 0));
        CHECK(notes.line() == "ended");
    }
}

TEST_CASE("a process waits neither for its daemons nor for threads that muster has not started") {
    const ProcessGate daemons, others;
    const Process process{[](const ProcessGate& first, const ProcessGate& second) {
                              const Thread daemon({.daemon = true},
                                                  [first] { first.arrive_and_stay(); });
                              daemon.start();
                              std::thread([second] { second.arrive_and_stay(); }).detach();
                              first.arrival.wait();
                              second.arrival.wait();
                          },
                          daemons, others};
    process.start();
    const bool ended = process.join_for(std::chrono::milliseconds(muster::test::patience_ms));
    CHECK(ended);
    if (!ended) process.kill();
    process.join();
    CHECK(process.exit_code() == 0);
}

}  // namespace multiprocessing_process_threads_test
