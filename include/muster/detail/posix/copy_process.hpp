// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/fork_server.hpp>
#include <muster/detail/posix/process.hpp>
#include <muster/detail/posix/syscall.hpp>

namespace muster::detail::posix {

/// Copies this process as it is now. `serve(fds)` is what the copy does, with descriptors of its own
/// for `fds`; it does not return. In the copy no signal is blocked.
///
/// Throws: `std::system_error`.
template <typename Serve>
ChildProcess copy_process(HandedFds fds, Serve serve) {
    // Those that are kept from copies would not be there, and the copy may close the others.
    std::vector<Fd> copies;
    copies.reserve(fds.size());
    for (int& fd : fds) fd = copies.emplace_back(duplicate_above(fd, STDERR_FILENO + 1)).get();
    const ::pid_t parent = MUSTER_SYSCALL(getpid)();
    ::sigset_t all;
    ::sigset_t none;
    ::sigset_t before;
    ::sigfillset(&all);
    ::sigemptyset(&none);
    // No signal handler takes the copy for its parent.
    (void)MUSTER_SYSCALL(pthread_sigmask)(SIG_SETMASK, &all, &before);
    const ::pid_t pid = MUSTER_SYSCALL(fork)();
    if (pid == 0) {
        become_copy(parent, fds);
        (void)MUSTER_SYSCALL(pthread_sigmask)(SIG_SETMASK, &none, nullptr);
        serve(fds);
        MUSTER_SYSCALL(_exit)(0);
    }
    const int error = errno;
    (void)MUSTER_SYSCALL(pthread_sigmask)(SIG_SETMASK, &before, nullptr);
    if (pid == -1) throw_error(error, "fork");
    (void)MUSTER_SYSCALL(setpgid)(pid, pid);  // Whoever is first, it or its parent.
    return ChildProcess::adopt(pid);
}

}  // namespace muster::detail::posix
