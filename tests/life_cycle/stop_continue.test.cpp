// SPDX-License-Identifier: MIT
// ctest: start_methods
// A debugger, a batch system or a terminal stops processes, and lets them go on.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "support/asleep.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace life_cycle_stop_continue_test {

namespace {

using muster::test::patience;
using muster::test::ProcessGate;
using muster::test::ProcessPool;
using muster::test::Program;
using muster::test::say;
using muster::test::soon;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int own_pid() { return static_cast<int>(::getpid()); }

/// The letter that stands for the state of a process: 'T' stopped, 't' by who traces it.
char state_of(::pid_t pid) {
    std::string fields;
    std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/stat"), fields);
    const auto name_end = fields.rfind(") ");
    return name_end == fields.npos ? '?' : fields[name_end + 2];
}

bool stops(::pid_t pid) {
    return soon([&] { return state_of(pid) == 'T' || state_of(pid) == 't'; });
}

/// A process of its own that traces another one, as a debugger does, until it is told to let go.
class Debugger {
  public:
    explicit Debugger(::pid_t traced) : pid_{::fork()} {
        if (pid_ != 0) return;
        if (::ptrace(PTRACE_ATTACH, traced, nullptr, nullptr) == -1) ::_exit(errno);
        ::waitpid(traced, nullptr, __WALL);
        ::raise(SIGSTOP);  // Until detach().
        ::ptrace(PTRACE_DETACH, traced, nullptr, nullptr);
        ::_exit(0);
    }
    Debugger(const Debugger&) = delete;
    Debugger& operator=(const Debugger&) = delete;
    ~Debugger() { (void)detach(); }

    /// Whether it holds the process, soon.
    [[nodiscard]] bool attached() const {
        return soon([&] { return state_of(pid_) == 'T' || state_of(pid_) == 'Z'; }) &&
               state_of(pid_) == 'T';
    }
    /// 0, or why it could not attach.
    int detach() {
        if (pid_ == -1) return 0;
        ::kill(pid_, SIGCONT);
        int status = 0;
        ::waitpid(pid_, &status, 0);
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

  private:
    ::pid_t pid_;
};

int pid_after(ProcessGate gate) {
    gate.pass();
    return own_pid();
}

}  // namespace

TEST_CASE("a worker that is stopped goes on with its task, and others have run the rest") {
    ProcessPool pool(2);
    const ProcessGate gate;
    const auto held = pool.submit(pid_after, gate);
    REQUIRE(gate.arrived());
    const int worker = pool.stats().pids.at(0);
    ::kill(worker, SIGSTOP);
    REQUIRE(stops(worker));
    for (int i = 0; i < 100; ++i) CHECK(pool.submit(own_pid).result() != worker);
    gate.open();
    CHECK_FALSE(held.done());
    ::kill(worker, SIGCONT);
    REQUIRE(held.wait_for(patience));
    CHECK(held.result() == worker);
    CHECK(pool.stats().respawned == 0);
}

TEST_CASE("a stopped worker's task can be killed, and its time limit holds") {
    ProcessPool pool(1);
    for (const bool limited : {true, false}) {
        const ProcessGate gate;
        const std::optional<std::chrono::nanoseconds> limit =
            limited ? std::optional(std::chrono::nanoseconds(1s)) : std::nullopt;
        const auto task = pool.submit({.timeout = limit}, &ProcessGate::pass, gate);
        REQUIRE(gate.arrived());
        ::kill(pool.stats().pids.at(0), SIGSTOP);
        if (limited) {
            REQUIRE(task.wait_for(patience));
            CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
        } else {
            CHECK(task.kill());
        }
        CHECK(pool.submit(own_pid).result() > 0);  // In the place of the one that was stopped.
    }
}

TEST_CASE("a worker that a debugger attaches to and lets go finishes its task") {
    ProcessPool pool(1);
    const ProcessGate gate;
    const auto task = pool.submit(pid_after, gate);
    REQUIRE(gate.arrived());
    const int worker = pool.stats().pids.at(0);
    Debugger debugger(worker);
    if (!debugger.attached()) {
        MESSAGE("this system lets nobody trace other processes: " << debugger.detach());
        return;
    }
    CHECK(stops(worker));
    gate.open();
    const auto next = pool.submit(own_pid);
    CHECK_FALSE(task.done());
    CHECK(debugger.detach() == 0);
    REQUIRE(task.wait_for(patience));
    CHECK(task.result() == worker);
    CHECK(next.result() == worker);
    CHECK(pool.stats().crashed == 0);
}

TEST_CASE("a worker may be killed in its debugger's hands") {
    ProcessPool pool(1);
    const ProcessGate gate;
    const auto task = pool.submit(&ProcessGate::arrive_and_stay, gate);
    REQUIRE(gate.arrived());
    const int worker = pool.stats().pids.at(0);
    Debugger debugger(worker);
    if (!debugger.attached()) return;
    CHECK(task.kill());
    CHECK(task.cancelled());
    CHECK(debugger.detach() == 0);
    CHECK(pool.submit(own_pid).result() != worker);
}

TEST_CASE("program: is stopped" * doctest::skip()) {
    ::sigset_t continues;
    ::sigemptyset(&continues);
    ::sigaddset(&continues, SIGCONT);
    ::sigprocmask(SIG_BLOCK, &continues, nullptr);
    muster::ThreadPoolExecutor threads(2);
    ProcessPool processes(2);
    CHECK(processes.submit(own_pid).result() > 0);
    TaskGate gate;
    const auto in_thread = threads.submit(TaskGate::pass, gate.path(), 'a');
    const auto in_process = processes.submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    (void)gate.arrival();
    // Each is done long before it is stopped, and this is looked at long after its time is over.
    const auto in_time = processes.submit({.timeout = 20s}, [] { return 7; });
    CHECK(in_time.wait_for(patience));
    const auto late = processes.submit({.timeout = 100ms}, [] {
        for (;;) ::pause();
    });
    while (!late.running() && !late.done()) {
    }
    say("now");
    int signal = 0;
    ::sigwait(&continues, &signal);
    gate.open();
    CHECK(in_thread.result() == 'a');
    CHECK(in_process.result() == 'a');
    CHECK(in_time.result() == 7);
    CHECK_THROWS_AS(late.result(), muster::TaskTimeout);
    CHECK(threads.submit(own_pid).result() == own_pid());
    CHECK(processes.submit(own_pid).result() != own_pid());
    say("went on");
}

TEST_CASE("a program that is stopped, with its workers or alone, goes on where it was") {
    for (const bool with_workers : {true, false}) {
        CAPTURE(with_workers);
        Program program = Program::test_case("is stopped");
        REQUIRE(program.line() == "now");
        std::vector<::pid_t> family{program.pid()};
        if (with_workers)
            for (const ::pid_t child : muster::test::children_of(std::to_string(program.pid())))
                family.push_back(child);
        for (const ::pid_t each : family) ::kill(each, SIGSTOP);
        for (const ::pid_t each : family) CHECK(stops(each));
        for (const ::pid_t each : family) ::kill(each, SIGCONT);
        CHECK(program.line() == "went on");
        CHECK(program.exit_code() == 0);
    }
}

}  // namespace life_cycle_stop_continue_test
