// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What the application does with signals, children, descriptors and forks of its own.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace process_application_test {

namespace {

using muster::test::children_of;
using muster::test::open_descriptors;
using muster::test::ProcessPool;
using muster::test::Program;
using muster::test::say;
using muster::test::TaskGate;

int own_pid() { return static_cast<int>(::getpid()); }

// What goes well and what crashes, in a pool of this process. Empty if all is as it should be.
std::string exercise() {
    ProcessPool pool(2);
    for (int i = 0; i < 5; ++i) {
        if (pool.submit([](int x) { return 2 * x; }, i).result() != 2 * i) return "a wrong result";
        auto crash = pool.submit([] { ::_exit(3); });
        try {
            crash.result();
            return "a crash with a result";
        } catch (const muster::WorkerCrashed& error) {
            if (error.pid() <= 0) return "no pid";
            if (error.exit_code() && *error.exit_code() != 3) return "a wrong exit code";
        }
    }
    pool.shutdown();
    for (const ::pid_t child : children_of())
        if (::kill(child, 0) == 0 && ::waitpid(child, nullptr, WNOHANG) >= 0)
            return "a child is left";
    return "";
}

std::atomic<int> reaped{0};

}  // namespace

TEST_CASE("program: SIGCHLD" * doctest::skip()) {
    const std::string kind = muster::test::argument_of_program();
    if (kind == "ignored") ::signal(SIGCHLD, SIG_IGN);
    if (kind == "reaping")
        ::signal(SIGCHLD, [](int) {
            const int error = errno;
            while (::waitpid(-1, nullptr, WNOHANG) > 0) ++reaped;
            errno = error;
        });
    if (kind == "no wait") {
        struct ::sigaction action {};
        action.sa_handler = SIG_DFL;
        action.sa_flags = SA_NOCLDWAIT;
        ::sigaction(SIGCHLD, &action, nullptr);
    }
    if (kind == "blocked") {
        ::sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_BLOCK, &all, nullptr);
    }
    struct ::sigaction before {};
    ::sigaction(SIGCHLD, nullptr, &before);
    const std::string wrong = exercise();
    struct ::sigaction after {};
    ::sigaction(SIGCHLD, nullptr, &after);
    if (before.sa_handler != after.sa_handler) say("the handler was changed");
    say(wrong.empty() ? "all well" : wrong);
}

TEST_CASE("it does not matter what the application does with SIGCHLD") {
    for (const std::string kind : {"default", "ignored", "reaping", "no wait", "blocked"}) {
        CAPTURE(kind);
        Program program = Program::test_case("SIGCHLD", kind);
        CHECK(program.line() == "all well");
        CHECK(program.exit_code() == 0);
    }
}

TEST_CASE("the application's own children are not reaped") {
    ProcessPool pool(2);
    const ::pid_t own = ::fork();
    if (own == 0) ::_exit(5);
    for (int i = 0; i < 5; ++i)
        CHECK_THROWS_AS(pool.submit([] { ::_exit(1); }).result(), muster::WorkerCrashed);
    pool.shutdown();
    int status = 0;
    CHECK(::waitpid(own, &status, 0) == own);
    CHECK(WEXITSTATUS(status) == 5);
}

TEST_CASE("program: descriptors" * doctest::skip()) {
    const std::string kind = muster::test::argument_of_program();
    const int out = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100);
    if (kind == "closed")
        for (int fd = 0; fd < 3; ++fd) ::close(fd);
    if (kind == "occupied") {
        const int file = ::open("/dev/zero", O_RDONLY);
        for (int fd = 3; fd <= 20; ++fd) ::dup2(file, fd);
    }
    std::string line;
    try {
        line = exercise();
        muster::ProcessPoolExecutor pool(  // By spawn: copies have what the original had.
            {.max_workers = 1, .start_timeout = std::chrono::minutes(5)});
        const auto seen = pool.submit([] { return open_descriptors(); }).result();
        for (int fd = 0; fd < 3; ++fd)
            if (!seen.contains(fd)) line += " no " + std::to_string(fd);
        for (const int fd : seen)
            if (fd > 8) line += " has " + std::to_string(fd);
        if (!pool.submit([] {
                     char zero = 1;
                     return ::read(STDIN_FILENO, &zero, 1) == 0 &&
                            std::string(::ttyname(STDIN_FILENO) ? "tty" : "") != "tty";
                 })
                 .result())
            line += " stdin has something";
        if (kind == "closed")
            for (int fd = 0; fd < 3; ++fd)
                if (muster::test::is_open(fd)) line += " took " + std::to_string(fd);
        if (kind == "occupied")
            for (int fd = 3; fd <= 20; ++fd) {
                char zero = 1;
                if (::read(fd, &zero, 1) != 1 || zero != 0) line += " lost " + std::to_string(fd);
            }
    } catch (const std::exception& error) {
        line = error.what();
    }
    line = (line.empty() ? "all well" : line) + "\n";
    (void)!::write(out, line.data(), line.size());
    ::_exit(0);
}

TEST_CASE("workers have the standard descriptors and their own, whichever the application has") {
    for (const std::string kind : {"usual", "closed", "occupied"}) {
        CAPTURE(kind);
        Program program = Program::test_case("descriptors", kind);
        CHECK(program.line() == "all well");
        CHECK(program.exit_code() == 0);
    }
}

TEST_CASE("what a worker's task prints appears on the parent's standard output") {
    Program program = Program::test_case("prints");
    CHECK(program.rest() == "from main\nfrom the worker\n");
}

TEST_CASE("program: prints" * doctest::skip()) {
    std::fputs("from main\n", stdout);  // Buffered, and printed once.
    std::fflush(stdout);
    ProcessPool pool(1);
    pool.submit([] { std::fputs("from the worker\n", stdout); }).result();
}

TEST_CASE("program: Ctrl-C" * doctest::skip()) {
    ::setpgid(0, 0);
    ::sigset_t signals;
    ::sigemptyset(&signals);
    ::sigaddset(&signals, SIGINT);
    ::sigaddset(&signals, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    ProcessPool pool(1);
    TaskGate gate;
    auto task = pool.submit(
        [](const std::string& path) {
            TaskGate::pass(path, 'a');
            return own_pid();
        },
        gate.path());
    (void)gate.arrival();
    say("now");
    int signal = 0;
    ::sigwait(&signals, &signal);
    gate.open();
    const int pid = task.result();
    say(pool.submit(own_pid).result() == pid ? "the worker lives" : "another worker");
    say(pool.submit([] { return ::getpgrp() == ::getpid(); }).result() ? "own group" : "our group");
}

TEST_CASE("a signal to the program's process group, as Ctrl-C sends it, reaches no worker") {
    for (const int signal : {SIGINT, SIGTERM}) {
        Program program = Program::test_case("Ctrl-C");
        REQUIRE(program.line() == "now");
        ::kill(-program.pid(), signal);
        CHECK(program.line() == "the worker lives");
        CHECK(program.line() == "own group");
        CHECK(program.exit_code() == 0);
    }
}

TEST_CASE("signals of the application are not handled by threads of the pool") {
    static std::atomic<::pid_t> handled_by{0};
    const auto before = ::signal(SIGUSR1, [](int) { handled_by = ::gettid(); });
    ProcessPool pool(1);
    auto task = pool.submit(own_pid);
    task.add_done_callback([](const auto&) {});
    pool.wait_idle();
    ::sigset_t usr1;
    ::sigset_t old;
    ::sigemptyset(&usr1);
    ::sigaddset(&usr1, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &usr1, &old);
    ::kill(::getpid(), SIGUSR1);  // With this thread's mask it would go to one of the pool's.
    ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
    CHECK(handled_by == ::gettid());
    ::signal(SIGUSR1, before);
}

}  // namespace process_application_test
