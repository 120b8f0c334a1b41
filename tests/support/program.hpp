// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace muster::test {

/// How long a test waits for what never takes long: only so that a hang is a failure with a name.
inline constexpr int patience_ms = 200'000;

/// A descriptor that becomes readable when the process has ended; -1 if there is none such.
inline int open_process(::pid_t pid) {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U));
}

/// Waits until a process has ended, whoever's child it is. False if it does not.
inline bool ends(::pid_t pid) {
    const int process = open_process(pid);
    if (process == -1) return true;  // There is none of that number any more.
    ::pollfd end{process, POLLIN, 0};
    const bool ended = ::poll(&end, 1, patience_ms) == 1;
    ::close(process);
    return ended;
}

/// Whether it is what a sanitizer starts to look names up, for a suppressed report as well.
inline bool is_symbolizer(::pid_t pid) {
    std::string name;
    std::getline(std::ifstream("/proc/" + std::to_string(pid) + "/comm"), name);
    return name == "llvm-symbolizer";
}

/// The children of a process, symbolizers too, and those that have ended and were not reaped.
inline std::vector<::pid_t> all_children_of(const std::string& process) {
    std::vector<::pid_t> children;
    std::error_code gone;
    const std::filesystem::directory_iterator threads("/proc/" + process + "/task", gone);
    for (const auto& thread : threads) {
        std::ifstream list(thread.path() / "children");
        for (::pid_t pid = 0; list >> pid;) children.push_back(pid);
    }
    return children;
}

/// As `all_children_of`, but for symbolizers.
inline std::vector<::pid_t> children_of(const std::string& process = "self") {
    std::vector<::pid_t> children = all_children_of(process);
    std::erase_if(children, is_symbolizer);
    return children;
}

/// How often a thread, with this directory in /proc, went to sleep. (That it loses the CPU to others
/// is not counted.)
inline long sleeps_of(const std::filesystem::path& thread) {
    std::ifstream status(thread / "status");
    for (std::string word; status >> word;)
        if (long count = 0; word == "voluntary_ctxt_switches:" && status >> count) return count;
    return 0;
}

inline std::string own_path() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

/// What the test gave the program it started.
inline std::string argument_of_program() {
    const char* const argument = std::getenv("TEST_ARGUMENT");
    return argument ? argument : "";
}

/// For programs: prints a line that the test gets at once.
inline void say(const std::string& line) {
    std::fputs((line + "\n").c_str(), stdout);
    std::fflush(stdout);
}

/// A program that the test started. It is killed at the latest when this goes.
class Program {
  public:
    explicit Program(std::vector<std::string> command, const std::string& argument = "") {
        int ends[2] = {-1, -1};
        if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
        ::posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        ::setenv("TEST_ARGUMENT", argument.c_str(), 1);
        std::vector<char*> arguments;
        for (std::string& word : command) arguments.push_back(word.data());
        arguments.push_back(nullptr);
        const int error =
            ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), ::environ);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(ends[1]);
        output_ = ends[0];
        if (error != 0) throw std::runtime_error("cannot start " + command[0]);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        kill();
        (void)exit_code();
        ::close(output_);
    }

    /// A test case of this very program: `TEST_CASE("program: name" * doctest::skip())`.
    static Program test_case(const std::string& name, const std::string& argument = "") {
        return Program({own_path(), "--no-skip", "--quiet", "--test-case=program: " + name},
                       argument);
    }

    [[nodiscard]] ::pid_t pid() const { return pid_; }

    /// The next line that it prints; empty when it prints nothing more.
    std::string line() {
        std::string text;
        for (char c = 0; next(c) && c != '\n';) text += c;
        return text;
    }
    /// All that it still prints.
    std::string rest() {
        std::string text;
        for (char c = 0; next(c);) text += c;
        return text;
    }
    /// The numbers in its next line.
    std::vector<::pid_t> pids() {
        std::istringstream words(line());
        std::vector<::pid_t> all;
        for (::pid_t pid = 0; words >> pid;) all.push_back(pid);
        return all;
    }

    void kill(int signal = SIGKILL) const {
        if (!reaped_) ::kill(pid_, signal);
    }

    /// Waits for its end: its exit code, or minus the signal that ended it, or 1000 if it hangs.
    int exit_code() {
        if (reaped_) return code_;
        if (!muster::test::ends(pid_)) {
            kill();
            code_ = 1000;
        }
        int status = 0;
        ::waitpid(pid_, &status, 0);
        reaped_ = true;
        if (code_ == 0) code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        return code_;
    }

  private:
    bool next(char& c) const {
        ::pollfd more{output_, POLLIN, 0};
        if (::poll(&more, 1, patience_ms) != 1) throw std::runtime_error("the program hangs");
        return ::read(output_, &c, 1) == 1;
    }

    ::pid_t pid_ = -1;
    int output_ = -1;
    int code_ = 0;
    bool reaped_ = false;
};

}  // namespace muster::test
