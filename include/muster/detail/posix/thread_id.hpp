// SPDX-License-Identifier: MIT
#pragma once

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <string>

namespace muster::detail::posix {

/// The system's number for the calling thread, as debuggers and `top` show it.
///
/// Only a thread's first call makes a system call, and the first one in a copy of the process.
inline long long thread_id() {
    struct Known {
        std::uint64_t generation = 0;
        long long id = 0;
    };
    static thread_local constinit Known known;
    const std::uint64_t generation = fork_generation();
    if (known.generation != generation)
        known = {generation, static_cast<long long>(MUSTER_SYSCALL(syscall)(SYS_gettid))};
    return known.id;
}

/// Whether the calling thread is the process's first: the one that runs main, or that called fork.
inline bool in_main_thread() { return thread_id() == MUSTER_SYSCALL(getpid)(); }

/// The calling thread's name, as the system knows it: at most 15 bytes.
inline std::string thread_name() {
    std::array<char, 16> name{};
    (void)MUSTER_SYSCALL(prctl)(PR_GET_NAME, name.data(), 0, 0, 0);
    return name.data();
}

}  // namespace muster::detail::posix
