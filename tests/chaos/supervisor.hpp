// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "belongings.hpp"
#include "board.hpp"
#include "options.hpp"
#include "report.hpp"
#include "stacks.hpp"
#include "striker.hpp"

namespace chaos {

/// The file that all processes map; gone at the latest with this process's end in order.
class BoardFile {
  public:
    BoardFile() {
        const int file = ::mkostemp(path_, O_CLOEXEC);
        if (file == -1 || ::ftruncate(file, sizeof(Board)) != 0)
            throw std::system_error(errno, std::system_category(), path_);
        ::close(file);
        board_ = Board::map(path_);
        if (board_ == nullptr) throw std::system_error(errno, std::system_category(), path_);
        ::setenv(Board::variable, path_, 1);
    }
    BoardFile(const BoardFile&) = delete;
    BoardFile& operator=(const BoardFile&) = delete;
    ~BoardFile() {
        ::munmap(board_, sizeof(Board));
        ::unlink(path_);
    }
    [[nodiscard]] Board& board() const { return *board_; }

  private:
    char path_[32] = "/tmp/muster-chaos-XXXXXX";
    Board* board_ = nullptr;
};

/// Starts the subject, strikes at what that starts, and watches its progress.
class Supervisor {
  public:
    Supervisor(const Options& options, char** arguments)
        : options_{options}, board_{file_.board()} {
        // What the subject leaves behind comes here, and what crashes leaves no files.
        ::prctl(PR_SET_CHILD_SUBREAPER, 1);
        const ::rlimit none{};
        ::setrlimit(RLIMIT_CORE, &none);
        ::posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        if (!options.loud)
            ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        const int error =
            ::posix_spawn(&subject_, "/proc/self/exe", &actions, nullptr, arguments, ::environ);
        ::posix_spawn_file_actions_destroy(&actions);
        if (error != 0) throw std::system_error(error, std::system_category(), "posix_spawn");
    }

    /// The exit code.
    int run() {
        const auto begun = Clock::now();
        Striker striker(board_, subject_, Random(options_.seed ^ 0x5deece66d));
        std::uint64_t seen = 0;
        auto changed = begun;
        for (bool running = true; running;) {
            striker.act();
            running = !reap();
            const std::uint64_t progress = board_.progress.load();
            const auto now = Clock::now();
            if (progress != seen) changed = now;
            seen = progress;
            if (running && now - changed > options_.patience) running = end_hang();
            std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
        check_nobody_stays();
        const auto time = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - begun);
        return report(options_, board_, time) ? EXIT_SUCCESS : EXIT_FAILURE;
    }

  private:
    using Clock = std::chrono::steady_clock;

    /// Takes in the ends of processes. True when the subject's is among them.
    bool reap() {
        bool ended = false;
        int status = 0;
        for (::pid_t pid = 0; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
            if (pid != subject_) continue;
            ended = true;
            if (WIFSIGNALED(status))
                board_.violation("the program was ended by signal " +
                                 std::to_string(WTERMSIG(status)));
            else if (WEXITSTATUS(status) != 0)
                board_.violation("the program ended with code " +
                                 std::to_string(WEXITSTATUS(status)));
        }
        return ended;
    }

    bool end_hang() {
        board_.violation("nothing has happened for " + std::to_string(options_.patience.count()) +
                         " s");
        print_stacks(::getpid());  // Those too whose parent has ended.
        ::kill(subject_, SIGKILL);
        int status = 0;
        ::waitpid(subject_, &status, 0);
        return false;
    }

    /// All that was started ends with the subject.
    void check_nobody_stays() {
        const auto limit = Clock::now() + std::chrono::seconds(10);
        for (;;) {
            (void)reap();
            const std::vector<Descendant> rest = descendants_of(::getpid());
            if (rest.empty()) return;
            if (Clock::now() > limit) {
                board_.violation(std::to_string(rest.size()) + " processes outlive the program");
                print_stacks(::getpid());
                for (const Descendant& process : rest) ::kill(process.pid, SIGKILL);
                return;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

    const Options& options_;
    BoardFile file_;
    Board& board_;
    ::pid_t subject_ = -1;
};

inline int supervise(const Options& options, char** arguments) {
    return Supervisor(options, arguments).run();
}

}  // namespace chaos
