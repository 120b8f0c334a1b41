// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>

#include <muster/detail/posix/syscall.hpp>

// What a worker process does with what it was started with.

namespace muster::detail::posix {

/// Reads the first bytes of a file or memory without moving its position. False if it cannot.
inline bool read_at_start(int fd, std::span<std::byte> bytes) noexcept {
    const auto got =
        retry_interrupted([&] { return MUSTER_SYSCALL(pread)(fd, bytes.data(), bytes.size(), 0); });
    return got == static_cast<::ssize_t>(bytes.size());
}

/// Programs that this process starts will not have the descriptor.
inline void keep_from_children(int fd) noexcept {
    (void)MUSTER_SYSCALL(fcntl)(fd, F_SETFD, FD_CLOEXEC);
}

/// Has the system end this process when the thread that started it ends.
///
/// Only a first line: the lifeline is what counts where the system lacks this. A parent that was
/// gone before is noticed by its number.
inline void end_with_parent(long long parent) noexcept {
    (void)MUSTER_SYSCALL(prctl)(PR_SET_PDEATHSIG, SIGKILL);
    if (static_cast<long long>(MUSTER_SYSCALL(getppid)()) != parent) MUSTER_SYSCALL(_exit)(1);
}

/// A process group in the background of a terminal may write to it.
inline void allow_background_output() noexcept {
    struct ::sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    (void)MUSTER_SYSCALL(sigaction)(SIGTTOU, &ignore, nullptr);
}

/// Sets a variable of this process's environment.
/// Throws: `std::system_error`.
inline void set_environment(const char* name, const std::string& value) {
    check(MUSTER_SYSCALL(setenv)(name, value.c_str(), 1), "setenv");
}

/// The application's signal handlers run in its own threads, not in the calling one.
inline void leave_signals_to_others() noexcept {
    ::sigset_t all;
    ::sigfillset(&all);
    (void)MUSTER_SYSCALL(pthread_sigmask)(SIG_BLOCK, &all, nullptr);
}

// Only glibc tells a handler the exit code.
#ifdef __GLIBC__
/// Has `exit` call `handler` with its code, before the exit handlers and the destructors of static
/// objects that were registered until now. Best effort: there may be no memory.
inline void run_first_at_exit(void (*handler)(int code)) noexcept {
    (void)MUSTER_SYSCALL(on_exit)(
        [](int code, void* to_call) { reinterpret_cast<void (*)(int)>(to_call)(code); },
        reinterpret_cast<void*>(handler));
}
#else
/// Does nothing: without its code the end of the process could not be told to its parent.
inline void run_first_at_exit(void (* /*handler*/)(int code)) noexcept {}
#endif

[[noreturn]] inline void end_process(int code) noexcept { MUSTER_SYSCALL(_exit)(code); }

/// Ends this worker and all that it started, at once.
[[noreturn]] inline void end_own_group() noexcept {
    if (MUSTER_SYSCALL(getpgrp)() == MUSTER_SYSCALL(getpid)())
        (void)MUSTER_SYSCALL(kill)(0, SIGKILL);
    MUSTER_SYSCALL(_exit)(1);
}

[[nodiscard]] inline long long own_process_id() noexcept { return MUSTER_SYSCALL(getpid)(); }
[[nodiscard]] inline long long parent_process_id() noexcept { return MUSTER_SYSCALL(getppid)(); }

}  // namespace muster::detail::posix
