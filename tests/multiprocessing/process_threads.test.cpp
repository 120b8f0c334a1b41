// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What a process does with the threads that it has started, when its call is over. In brackets: the
// case of Python's that says the same.
#include <muster/multiprocessing.hpp>
#include <muster/stop_token.hpp>
#include <muster/threading/event.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/in_copy.hpp"
#include "support/notes.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
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

void note_end(const StopToken& stop, const std::string& path) {
    while (!stop.stop_requested()) std::this_thread::yield();
    Notes::add(path, "ended");
}

}  // namespace

TEST_CASE("a process waits for the threads it has started [test_wait_for_threads]") {
    const Notes notes;
    const Process process{[](const std::string& path) {
                              const Thread thread{note_end, path};
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
    note_end(stop, path);
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

#ifdef __cpp_lib_jthread  // Its stop_callback is called within the request.

namespace {

void have_heir(const std::string& path) {
    const muster::threading::Event begun;
    static const Thread thread{[begun, path](const StopToken& stop) {
        const std::stop_callback asked(stop, [&] {
            static const Thread heir{note_end, path};
            heir.start();
        });
        begun.set();
        note_end(stop, path);
    }};
    thread.start();
    begun.wait();
}

}  // namespace

TEST_CASE("what is called when a thread is asked to stop may start another, which is asked too") {
    const Notes notes;
    const Process process{have_heir, notes.path()};
    process.start();
    const bool ended = process.join_for(std::chrono::milliseconds(muster::test::patience_ms));
    CHECK(ended);
    if (!ended) process.kill();
    process.join();
    CHECK(notes.lines() == std::vector<std::string>{"ended", "ended"});
}

namespace {

/// A daemon that notes when it is asked to stop, and stays.
Thread start_daemon(const std::string& path) {
    const muster::threading::Event begun;
    Thread daemon(
        {.daemon = true},
        [begun](const StopToken& stop, const std::string& its) {
            const std::stop_callback asked(stop, [&] { Notes::add(its, "asked"); });
            begun.set();
            for (;;) std::this_thread::sleep_for(1h);
        },
        path);
    daemon.start();
    begun.wait();
    return daemon;
}

void lose_daemon(const std::string& path) {
    static const auto* const lost = new Thread(start_daemon(path));
    (void)lost->is_alive();
}
void throw_beside_daemon(const std::string& path) {
    lose_daemon(path);
    throw std::runtime_error("and the daemon goes on");
}
void exit_beside_daemon(const std::string& path) {
    const Thread on_stack = start_daemon(path);
    std::exit(3);
}

}  // namespace

TEST_CASE("a process that ends asks its daemons to stop, wherever their handles are") {
    using Call = void (*)(const std::string&);
    for (const Call call : {lose_daemon, throw_beside_daemon, exit_beside_daemon}) {
        const Notes notes;
        const Process process{call, notes.path()};
        CHECK(exit_code_of(process) == (call == lose_daemon           ? 0
                                        : call == throw_beside_daemon ? 1
                                                                      : 3));
        CHECK(notes.line() == "asked");
    }
}

TEST_CASE("a process asks its daemons when the threads that it waits for have ended") {
    const Notes notes;
    const Process process{[](const std::string& path) {
                              lose_daemon(path);
                              static const Thread awaited{note_end, path};
                              awaited.start();
                          },
                          notes.path()};
    CHECK(exit_code_of(process) == 0);
    CHECK(notes.lines() == std::vector<std::string>{"ended", "asked"});
}

TEST_CASE("a worker of a pool that ends asks the daemons of its tasks to stop") {
    const Notes notes;
    {
        muster::test::ProcessPool pool(1);
        pool.submit(lose_daemon, notes.path()).result();
        CHECK(notes.lines().empty());  // It is not over with the task.
    }
    CHECK(notes.line() == "asked");
}

#endif

}  // namespace multiprocessing_process_threads_test
