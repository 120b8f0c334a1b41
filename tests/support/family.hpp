// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <muster/detail/family/sweep.hpp>

namespace muster::test {

/// The bytes of the family's memory that are in use.
inline std::uint64_t family_bytes() {
    const auto memory = muster::detail::FamilyMemory::existing();
    return memory ? memory->header().used.load() : 0;
}

/// The file behind a name.
inline std::string shm_file(const std::string& kind, const std::string& name) {
    return "/dev/shm/muster." + std::to_string(::geteuid()) + "." + kind + "." + name;
}

/// A copy of this process that does one thing. It is killed, and what it had is given back, at the
/// latest when this goes.
class Copy {
  public:
    Copy() = default;
    template <typename Action>
    explicit Copy(Action action) : pid_{::fork()} {
        if (pid_ == -1) throw std::runtime_error("cannot fork");
        if (pid_ != 0) return;
        try {
            action();
        } catch (...) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    Copy(Copy&& other) noexcept : pid_{std::exchange(other.pid_, -1)} {}
    Copy& operator=(Copy other) noexcept {
        std::swap(pid_, other.pid_);
        return *this;
    }
    ~Copy() { (void)kill(); }

    [[nodiscard]] ::pid_t pid() const { return pid_; }

    // For `falls_asleep`:
    [[nodiscard]] bool is_alive() const { return ::kill(pid_, 0) == 0; }
    [[nodiscard]] long long id() const { return pid_; }

    /// How it ended: its exit code, or minus the signal.
    int join() {
        int status = 0;
        if (pid_ == -1 || ::waitpid(std::exchange(pid_, -1), &status, 0) == -1) return 0;
        muster::detail::sweep_dead_processes();
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    int kill() {
        if (pid_ != -1) ::kill(pid_, SIGKILL);
        return join();
    }

  private:
    ::pid_t pid_ = -1;
};

}  // namespace muster::test
