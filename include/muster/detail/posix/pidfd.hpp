// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <system_error>
#include <utility>

// A descriptor that means one process for ever, where a process id soon means another one.
// Neither C library wraps these calls everywhere; their numbers are the same on all machines.

namespace muster::detail::posix {

/// Whom a signal sent through a pidfd reaches.
enum class SignalTarget : unsigned {
    process = 0,
    group = 4,  ///< The process group that this process leads or led; Linux 6.9.
};

/// Opens a process by its id; empty where the system, a sandbox or the descriptor limit forbids it.
inline Fd pidfd_open(::pid_t pid) noexcept {
    constexpr long number = 434;
    const long raw = MUSTER_SYSCALL(syscall)(number, pid, 0U);
    Fd fd{static_cast<int>(raw)};
    try {
        return above_stdio(std::move(fd));
    } catch (const std::system_error&) {
        return {};
    }
}

/// Sends a signal; -1 and `errno` as `kill` has them.
inline int pidfd_send_signal(int pidfd, int signal,
                             SignalTarget target = SignalTarget::process) noexcept {
    constexpr long number = 424;
    return static_cast<int>(
        MUSTER_SYSCALL(syscall)(number, pidfd, signal, nullptr, static_cast<unsigned>(target)));
}

/// Has the process ended? Whoever is its parent, and whether reaped or not.
inline bool pidfd_ended(int pidfd) noexcept {
    ::pollfd death{pidfd, POLLIN, 0};
    return retry_interrupted([&] { return MUSTER_SYSCALL(poll)(&death, 1, 0); }) == 1;
}

}  // namespace muster::detail::posix
