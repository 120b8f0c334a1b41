// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// A Process from its making to its end. In brackets: the case of Python's that says the same.
#include <muster/multiprocessing/process.hpp>

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/notes.hpp"
#include "support/process_gate.hpp"
#include "support/program.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_process_test {

namespace {

namespace mp = muster::multiprocessing;
using Process = muster::test::TestedProcess;
using muster::InvalidStateError;
using muster::StopToken;
using muster::test::ends;
using muster::test::Notes;
using muster::test::ProcessGate;
using muster::test::Program;
using muster::test::say;
using namespace std::chrono_literals;

int own_pid() { return static_cast<int>(::getpid()); }

bool readable(int fd, int limit_ms) {
    ::pollfd one{fd, POLLIN, 0};
    return ::poll(&one, 1, limit_ms) == 1;
}

void wait_for_stop(const StopToken& stop, const std::string& notes) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
    Notes::add(notes, "stopped");
}

struct Adder {
    int base = 0;
    void operator()(const std::string& notes, const std::vector<int>& numbers,
                    std::unique_ptr<int> last) const {
        int sum = base + *last;
        for (const int number : numbers) sum += number;
        Notes::add(notes, std::to_string(sum));
    }
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(base);
    }
};

struct NoResult {  // Not serializable.
    int* pointer = nullptr;
};

struct Unreadable {
    template <typename Archive>
    void save(Archive& ar) const {
        ar(1);
    }
    template <typename Archive>
    void load(Archive&) {
        throw std::runtime_error("cannot be read");
    }
};

}  // namespace

TEST_CASE("a process is not begun, then alive, then ended [test_process]") {
    const ProcessGate gate;
    const Notes notes;
    const Process process{[](const std::string& path, const ProcessGate& its) {
                              Notes::add(path, std::to_string(own_pid()));
                              its.pass();
                          },
                          notes.path(), gate};
    CHECK_FALSE(process.is_alive());
    CHECK(process.exit_code() == std::nullopt);
    CHECK(process.pid() == 0);
    CHECK(process.id() == 0);

    process.start();

    CHECK(gate.arrived());
    CHECK(process.is_alive());
    CHECK(process.exit_code() == std::nullopt);
    CHECK(notes.line() == std::to_string(process.pid()));
    CHECK(process.id() == process.pid());
    CHECK_FALSE(process.join_for(0s));
    CHECK_FALSE(process.join_for(-1s));
    CHECK_FALSE(process.join_for(1ms));
    gate.open();
    process.join();
    CHECK_FALSE(process.is_alive());
    CHECK(process.exit_code() == 0);
    CHECK(notes.line() == std::to_string(process.pid()));
    process.join();
    CHECK(process.join_for(0s));
}

TEST_CASE("what asks for a running process throws before the start") {
    const Process process{own_pid};
    CHECK_THROWS_AS(process.join(), InvalidStateError);
    CHECK_THROWS_AS(process.join_for(1s), InvalidStateError);
    CHECK_THROWS_AS(process.terminate(), InvalidStateError);
    CHECK_THROWS_AS(process.kill(), InvalidStateError);
    CHECK_THROWS_AS(process.send_signal(SIGINT), InvalidStateError);
    CHECK_THROWS_AS((void)process.sentinel(), InvalidStateError);
}

TEST_CASE("a process runs once") {
    const Process process{own_pid};
    process.start();
    CHECK_THROWS_AS(process.start(), InvalidStateError);
    process.join();
    CHECK_THROWS_AS(process.start(), InvalidStateError);
}

TEST_CASE("a process that was not started ends without having run") {
    const Notes notes;
    { const Process process{Notes::add, notes.path(), "ran"}; }
    CHECK(notes.lines().empty());
}

TEST_CASE("all calls throw on a process that was moved from, which goes on [test_close]") {
    const ProcessGate gate;
    Process first{&ProcessGate::arrive_and_stay, gate};
    first.start();
    mp::Process second = std::move(first);
    CHECK_THROWS_AS(first.start(), InvalidStateError);
    CHECK_THROWS_AS(first.join(), InvalidStateError);
    CHECK_THROWS_AS((void)first.is_alive(), InvalidStateError);
    CHECK_THROWS_AS((void)first.name(), InvalidStateError);
    CHECK_THROWS_AS((void)first.pid(), InvalidStateError);
    CHECK_THROWS_AS((void)first.request_stop(), InvalidStateError);
    CHECK(second.is_alive());
    second.kill();
    second.join();
    second = Process{own_pid};
    CHECK(second.pid() == 0);
}

TEST_CASE(
    "the call gets its arguments, strings as such and what can only be moved [test_args_argument, "
    "test_subclassing]") {
    const Notes notes;
    const Process adder{Adder{100}, notes.path(), std::vector{10, 20}, std::make_unique<int>(3)};
    adder.start();
    adder.join();
    CHECK(notes.line() == "133");
    const Process literal{
        [](const std::string& path, const std::string& text) { Notes::add(path, text); },
        notes.path(), "literal"};
    literal.start();
    literal.join();
    CHECK(notes.lines().back() == "literal");
    const Process large{[](const std::string& text) { std::exit(text.size() == 10 << 20 ? 3 : 4); },
                        std::string(10 << 20, 'x')};
    large.start();
    large.join();
    CHECK(large.exit_code() == 3);
}

TEST_CASE("names count from Process-1, or are as given [test_process]") {
    const Process one{own_pid}, other{own_pid};
    CHECK(one.name().rfind("Process-", 0) == 0);
    CHECK(std::stoi(other.name().substr(8)) == std::stoi(one.name().substr(8)) + 1);
    const Notes notes;
    const Process given(
        {.name = "reader", .daemon = true},
        [](const std::string& path) {
            const auto self = mp::current_process();
            Notes::add(path, self.name() + (self.daemon() ? " daemon" : ""));
        },
        notes.path());
    CHECK(given.name() == "reader");
    CHECK(given.daemon());
    CHECK_FALSE(one.daemon());
    given.start();
    given.join();
    CHECK(notes.line() == "reader daemon");
    const Process long_one({.name = std::string(1000, 'n')}, [] {
        std::exit(static_cast<int>(mp::current_process().name().size()));
    });
    long_one.start();
    long_one.join();
    CHECK(long_one.name().size() == 1000);
    CHECK(long_one.exit_code() == 255);
}

TEST_CASE("what the call returns is ignored, and exit in it gives the code [test_sys_exit]") {
    const auto code_of = [](auto fn) {
        const Process process{fn};
        process.start();
        process.join();
        return process.exit_code();
    };
    CHECK(code_of([] { return 7; }) == 0);
    CHECK(code_of([] { return NoResult{}; }) == 0);
    CHECK(code_of([] { std::exit(8); }) == 8);
    CHECK(code_of([] { std::exit(0); }) == 0);
    CHECK(code_of([] { ::_exit(9); }) == 9);
    CHECK(code_of([] {
              std::signal(SIGABRT, SIG_DFL);
              std::abort();
          }) == -SIGABRT);
}

TEST_CASE("program: exceptions" * doctest::skip()) {
    ::dup2(STDOUT_FILENO, STDERR_FILENO);
    const Process named({.name = "thrower"}, [] { throw std::runtime_error("thrown words"); });
    named.start();
    named.join();
    say("pid " + std::to_string(named.pid()) + " code " + std::to_string(*named.exit_code()));
    const Process other{[] { throw 5; }};
    other.start();
    other.join();
    const Process unreadable{[](const Unreadable&) {}, Unreadable{}};
    unreadable.start();
    unreadable.join();
    say("code " + std::to_string(*unreadable.exit_code()));
}

TEST_CASE(
    "an exception that leaves the call is a line on stderr, and exit code 1 [test_stderr_flush]") {
    Program program = Program::test_case("exceptions");
    const std::string line = program.line();
    const std::string pid = program.line();
    const std::string number = pid.substr(4, pid.find(' ', 4) - 4);
    CHECK(line ==
          "muster: process 'thrower' (pid " + number + ") ended by an exception: thrown words");
    CHECK(pid == "pid " + number + " code 1");
    CHECK(program.line().find("ended by an exception: an exception that is not a std::exception") !=
          std::string::npos);
    CHECK(program.line().find("'Process-2'") != std::string::npos);
    CHECK(program.line() == "code 1");
}

TEST_CASE(
    "a process that a signal ends has minus its number as exit code [test_terminate] [test_kill] "
    "[test_interrupt_no_handler]") {
    for (const int signal : {SIGTERM, SIGKILL, SIGINT, SIGUSR1}) {
        CAPTURE(signal);
        const ProcessGate gate;
        const Process process{&ProcessGate::arrive_and_stay, gate};
        process.start();
        CHECK(gate.arrived());
        CHECK_THROWS_AS(process.send_signal(12345), std::system_error);
        if (signal == SIGTERM) process.terminate();
        if (signal == SIGKILL) process.kill();
        process.send_signal(signal);
        process.join();
        CHECK(process.exit_code() == -signal);
        CHECK_NOTHROW(process.terminate());
        CHECK_NOTHROW(process.kill());
    }
}

TEST_CASE("the sentinel becomes readable when the process has ended [test_sentinel]") {
    const ProcessGate gate;
    const Process process{&ProcessGate::pass, gate};
    process.start();
    CHECK(gate.arrived());
    const int sentinel = process.sentinel();
    CHECK_FALSE(readable(sentinel, 0));
    gate.open();
    CHECK(readable(sentinel, muster::test::patience_ms));
    process.join();
    CHECK(process.sentinel() == sentinel);
    CHECK(readable(sentinel, 0));
}

TEST_CASE("a process is asked to stop by request_stop, and the first request is told") {
    const Notes notes;
    const Process process{wait_for_stop, notes.path()};
    process.start();
    CHECK(notes.lines().empty());
    CHECK(process.request_stop());
    CHECK_FALSE(process.request_stop());
    process.join();
    CHECK(process.exit_code() == 0);
    CHECK(notes.line() == "stopped");
}

TEST_CASE("a process that was asked to stop before it was started sees it at once") {
    const Process process{
        [](const StopToken& stop, int code) { std::exit(stop.stop_requested() ? code : 1); }, 17};
    CHECK(process.request_stop());
    process.start();
    CHECK_FALSE(process.request_stop());
    process.join();
    CHECK(process.exit_code() == 17);
}

TEST_CASE("the destructor requests a stop and joins") {
    const Notes notes;
    {
        const Process process{wait_for_stop, notes.path()};
        process.start();
    }
    CHECK(notes.line() == "stopped");
}

TEST_CASE("an assignment ends the process that was there") {
    const Notes notes;
    mp::Process process = Process{wait_for_stop, notes.path()};
    process.start();
    process = Process{own_pid};
    CHECK(notes.line() == "stopped");
}

TEST_CASE("a daemon is terminated when its handle goes") {
    const Notes notes;
    const ProcessGate gate;
    int pid = 0;
    {
        const Process daemon(
            {.daemon = true},
            [](const std::string& path, const ProcessGate& its) {
                static std::string kept;
                kept = path;
                std::signal(SIGTERM, [](int) {
                    Notes::add(kept, "terminated");
                    ::_exit(0);
                });
                its.arrive_and_stay();
            },
            notes.path(), gate);
        daemon.start();
        CHECK(gate.arrived());
        pid = daemon.pid();
    }
    CHECK(notes.line() == "terminated");
    CHECK(::kill(pid, 0) == -1);  // It is reaped.
}

TEST_CASE("a daemon that is deaf to SIGTERM is killed when its handle goes") {
    const ProcessGate gate;
    int pid = 0;
    {
        const Process daemon(
            {.daemon = true},
            [](const ProcessGate& its) {
                std::signal(SIGTERM, SIG_IGN);
                its.arrive_and_stay();
            },
            gate);
        daemon.start();
        CHECK(gate.arrived());
        pid = daemon.pid();
    }
    CHECK(::kill(pid, 0) == -1);
}

TEST_CASE("several threads may join, signal and ask") {
    const ProcessGate gate;
    const Process process{&ProcessGate::arrive_and_stay, gate};
    process.start();
    CHECK(gate.arrived());
    std::vector<int> codes(4);
    {
        std::vector<std::jthread> threads;
        for (int& code : codes)
            threads.emplace_back([&] {
                (void)process.is_alive();
                process.terminate();
                process.join();
                code = process.exit_code().value_or(0);
            });
    }
    CHECK(codes == std::vector(4, -SIGTERM));
}

}  // namespace multiprocessing_process_test
