// SPDX-License-Identifier: MIT
// ctest: start_methods
// Ctrl-C, Ctrl-Z and the end of a terminal, for a program whose pools are at work.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace life_cycle_terminal_test {

namespace {

using muster::test::argument_of_program;
using muster::test::own_path;
using muster::test::ProcessPool;
using muster::test::say;
using muster::test::TaskGate;

/// A terminal, and a program of this one's test cases that runs in its foreground.
class Terminal {
  public:
    explicit Terminal(const std::string& program, const std::string& argument = "") {
        ::setenv("TEST_ARGUMENT", argument.c_str(), 1);
        ours_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        char name[64] = "";
        if (ours_ == -1 || ::grantpt(ours_) != 0 || ::unlockpt(ours_) != 0 ||
            ::ptsname_r(ours_, name, sizeof name) != 0)
            throw std::runtime_error("cannot make a terminal");
        const std::string path = own_path(), selection = "--test-case=program: " + program;
        std::fflush(nullptr);  // Else the shell would show what waits here.
        pid_ = ::fork();
        if (pid_ != 0) return;
        ::close(ours_);  // Only the test can hang up.
        be_shell(name, path, selection);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal() {
        if (pid_ != -1) ::kill(pid_, SIGKILL);
        (void)exit_code();
        hang_up();
    }

    void press(char key) const { (void)!::write(ours_, &key, 1); }
    void hang_up() {
        if (ours_ != -1) ::close(ours_);
        ours_ = -1;
    }

    /// The next line that it shows; empty when it shows nothing more.
    [[nodiscard]] std::string line() const {
        std::string text;
        for (char c = 0; c != '\n'; text += c) {
            ::pollfd more{ours_, POLLIN, 0};
            if (::poll(&more, 1, muster::test::patience_ms) != 1)
                throw std::runtime_error("nothing is shown");
            if (::read(ours_, &c, 1) != 1) return "";
        }
        text.pop_back();
        return text;
    }

    /// That of the program, or 128 and the signal that ended it; or minus the one that ended the shell.
    int exit_code() {
        if (pid_ == -1) return 1000;
        if (!muster::test::ends(pid_)) ::kill(pid_, SIGKILL);
        int status = 0;
        ::waitpid(pid_, &status, 0);
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

  private:
    /// Starts the program, and has it go on in the foreground whenever it was stopped.
    [[noreturn]] static void be_shell(const char* terminal, const std::string& path,
                                      const std::string& selection) {
        ::setsid();
        const int its = ::open(terminal, O_RDWR);  // The session's terminal from now on.
        ::termios settings{};
        ::tcgetattr(its, &settings);
        settings.c_lflag |= TOSTOP;  // Who writes in the background is stopped.
        settings.c_lflag &= ~static_cast<::tcflag_t>(ECHO);
        settings.c_oflag &= ~static_cast<::tcflag_t>(ONLCR);
        ::tcsetattr(its, TCSANOW, &settings);
        for (int fd = 0; fd < 3; ++fd) ::dup2(its, fd);
        ::signal(SIGTTOU, SIG_IGN);
        const ::pid_t program = ::fork();
        if (program == 0) {
            ::setpgid(0, 0);
            ::tcsetpgrp(STDIN_FILENO, ::getpid());
            ::signal(SIGTTOU, SIG_DFL);
            ::execl(path.c_str(), path.c_str(), "--no-skip", "--quiet", selection.c_str(), nullptr);
            ::_exit(127);
        }
        int status = 0;
        while (::waitpid(program, &status, WUNTRACED) == program && WIFSTOPPED(status)) {
            ::tcsetpgrp(STDIN_FILENO, program);
            ::kill(-program, SIGCONT);  // Takes a next stop that is under way with it, so first.
            say("stopped");
        }
        ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }

    int ours_ = -1;
    ::pid_t pid_ = -1;  // The shell's.
};

std::vector<::pid_t> pids_of(const std::string& line) {
    std::istringstream words(line);
    std::vector<::pid_t> all;
    for (::pid_t pid = 0; words >> pid;) all.push_back(pid);
    return all;
}

void arrive_and_stay(const std::string& path) {
    TaskGate::arrive(path, 'a');
    for (;;) ::pause();
}

}  // namespace

TEST_CASE("program: in a terminal" * doctest::skip()) {
    muster::ThreadPoolExecutor threads(1);
    ProcessPool processes(2);
    TaskGate gate;
    const bool for_ever = argument_of_program() == "for ever";
    for (int i = 0; i < 2; ++i)
        for_ever ? processes.post(arrive_and_stay, gate.path())
                 : processes.post(TaskGate::pass, gate.path(), 'a');
    const auto thread = threads.submit(TaskGate::pass, gate.path(), 'a');
    for (int i = 0; i < 3; ++i) (void)gate.arrival();
    std::string pids = std::to_string(::getpid()) + ' ';
    for (const int pid : processes.stats().pids) pids += std::to_string(pid) + ' ';
    say(pids);
    while (for_ever) ::pause();
    (void)std::getchar();
    gate.open();
    CHECK(thread.result() == 'a');
    processes.wait_idle();
    processes.submit([] { say("a worker's line"); }).result();
    say("went on");
}

TEST_CASE("Ctrl-C, and a terminal that is closed, end a program and its workers") {
    for (const int signal : {SIGINT, SIGQUIT, SIGHUP}) {
        CAPTURE(signal);
        Terminal terminal("in a terminal", "for ever");
        const auto family = pids_of(terminal.line());
        REQUIRE(family.size() == 3);
        if (signal == SIGINT) terminal.press('\x03');
        if (signal == SIGQUIT) terminal.press('\x1c');
        if (signal == SIGHUP) terminal.hang_up();
        CHECK(terminal.exit_code() == (signal == SIGHUP ? -SIGHUP : 128 + signal));
        for (const ::pid_t each : family) CHECK(muster::test::ends(each));
    }
}

TEST_CASE("after Ctrl-Z a program goes on, and its workers write to the terminal as before") {
    Terminal terminal("in a terminal");
    REQUIRE(pids_of(terminal.line()).size() == 3);
    for (int i = 0; i < 3; ++i) {
        terminal.press('\x1a');
        CHECK(terminal.line() == "stopped");
    }
    terminal.press('\n');
    CHECK(terminal.line() == "a worker's line");
    CHECK(terminal.line() == "went on");
    CHECK(terminal.exit_code() == 0);
}

}  // namespace life_cycle_terminal_test
