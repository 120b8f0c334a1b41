// SPDX-License-Identifier: MIT
#pragma once

// The system calls of the library, some of which fail when the board says so. It is to be included
// before anything of the library.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "board.hpp"

namespace chaos::calls {

using ::_exit;
using ::accept4;
using ::bind;
using ::close;
using ::closedir;
using ::connect;
using ::dup2;
using ::dup3;
using ::epoll_create1;
using ::epoll_ctl;
using ::epoll_wait;
using ::fallocate;
using ::fchmod;
using ::flock;
using ::fstat;
using ::fstatat;
using ::fstatvfs;
using ::ftruncate;
using ::getegid;
using ::geteuid;
using ::getpgrp;
using ::getpid;
using ::getppid;
using ::getrandom;
using ::getrlimit;
using ::getsockopt;
using ::kill;
using ::listen;
using ::madvise;
using ::munmap;
using ::on_exit;
using ::open;
using ::openat;
using ::opendir;
using ::posix_spawn_file_actions_addclose;
using ::posix_spawn_file_actions_addclosefrom_np;
using ::posix_spawn_file_actions_adddup2;
using ::posix_spawn_file_actions_destroy;
using ::posix_spawn_file_actions_init;
using ::posix_spawnattr_destroy;
using ::posix_spawnattr_init;
using ::posix_spawnattr_setflags;
using ::posix_spawnattr_setpgroup;
using ::posix_spawnattr_setsigmask;
using ::prctl;
using ::pread;
using ::pthread_atfork;
using ::pthread_sigmask;
using ::readdir;
using ::sched_getaffinity;
using ::sched_yield;
using ::setenv;
using ::setpgid;
using ::setsockopt;
using ::shutdown;
using ::sigaction;
using ::socket;
using ::stat;
using ::sysconf;
using ::unlink;
using ::unlinkat;
using ::waitid;

/// True, with this error, if the call is to fail.
inline bool fails(Fault fault, int error) noexcept {
    Board* const board = Board::own();
    if (board == nullptr || !board->fails(fault)) return false;
    errno = error;
    return true;
}

inline ::pid_t fork() noexcept { return fails(Fault::fork, EAGAIN) ? -1 : ::fork(); }

template <typename... Arguments>
int posix_spawn(Arguments... arguments) noexcept {
    return fails(Fault::spawn, EAGAIN) ? EAGAIN : ::posix_spawn(arguments...);
}

template <typename... Arguments>
void* mmap(Arguments... arguments) noexcept {
    return fails(Fault::mmap, ENOMEM) ? MAP_FAILED : ::mmap(arguments...);
}

inline int memfd_create(const char* name, unsigned flags) noexcept {
    return fails(Fault::memory, ENFILE) ? -1 : ::memfd_create(name, flags);
}

// New descriptors: the process has too many.
inline int eventfd(unsigned value, int flags) noexcept {
    return fails(Fault::descriptor, EMFILE) ? -1 : ::eventfd(value, flags);
}
inline int pipe2(int* ends, int flags) noexcept {
    return fails(Fault::descriptor, EMFILE) ? -1 : ::pipe2(ends, flags);
}
inline int socketpair(int domain, int type, int protocol, int* ends) noexcept {
    return fails(Fault::descriptor, EMFILE) ? -1 : ::socketpair(domain, type, protocol, ends);
}
template <typename... Arguments>
int fcntl(int fd, int command, Arguments... arguments) noexcept {
    const bool opens = command == F_DUPFD_CLOEXEC;
    return opens && fails(Fault::descriptor, EMFILE) ? -1 : ::fcntl(fd, command, arguments...);
}

// Who sleeps on a futex may be interrupted, who wakes others never is; and a pidfd may not be had.
template <typename... Arguments>
long syscall(long number, Arguments... arguments) noexcept {
    constexpr long pidfd_open = 434;
    if (number == pidfd_open && fails(Fault::pidfd, EMFILE)) return -1;
    return ::syscall(number, arguments...);
}
template <typename... Arguments>
long syscall(long number, const std::atomic<std::uint32_t>* word, int operation,
             Arguments... arguments) noexcept {
    const bool sleeps = number == SYS_futex && (operation & FUTEX_CMD_MASK) != FUTEX_WAKE;
    if (sleeps && fails(Fault::futex, EINTR)) return -1;
    return ::syscall(number, word, operation, arguments...);
}

/// Writes what an eventfd can hold, after which there is no room, or leaves it as it is.
inline void fill(int eventfd) noexcept {
    const std::uint64_t most = ~std::uint64_t{0} - 1;
    if ((::fcntl(eventfd, F_GETFL) & O_NONBLOCK) != 0) (void)!::write(eventfd, &most, sizeof most);
}

// Signals interrupt the rest. Of the failures that a write, which rings, can have otherwise no system
// shows but one: what is full says so itself.
inline ::ssize_t write(int fd, const void* bytes, std::size_t size) noexcept {
    if (size == sizeof(std::uint64_t) && fails(Fault::full, EAGAIN)) fill(fd);
    return fails(Fault::write, EINTR) ? -1 : ::write(fd, bytes, size);
}
inline ::ssize_t read(int fd, void* bytes, std::size_t size) noexcept {
    return fails(Fault::transfer, EINTR) ? -1 : ::read(fd, bytes, size);
}
inline ::ssize_t send(int fd, const void* bytes, std::size_t size, int flags) noexcept {
    return fails(Fault::transfer, EINTR) ? -1 : ::send(fd, bytes, size, flags);
}
inline ::ssize_t recv(int fd, void* bytes, std::size_t size, int flags) noexcept {
    return fails(Fault::transfer, EINTR) ? -1 : ::recv(fd, bytes, size, flags);
}
// The system refuses what would have too many descriptors on their way: here requests for copies, not
// the reports that answer them.
inline ::ssize_t sendmsg(int fd, const ::msghdr* message, int flags) noexcept {
    const bool is_request = message->msg_controllen > CMSG_SPACE(2 * sizeof(int));
    if (is_request && fails(Fault::request, ETOOMANYREFS)) return -1;
    return fails(Fault::transfer, EINTR) ? -1 : ::sendmsg(fd, message, flags);
}
// A process that has too many descriptors gets a message without those in it.
inline ::ssize_t recvmsg(int fd, ::msghdr* message, int flags) noexcept {
    if (fails(Fault::transfer, EINTR)) return -1;
    const ::ssize_t size = ::recvmsg(fd, message, flags);
    const ::cmsghdr* const control = size > 0 ? CMSG_FIRSTHDR(message) : nullptr;
    if (control == nullptr || control->cmsg_type != SCM_RIGHTS || !fails(Fault::handed, 0))
        return size;
    for (std::size_t at = CMSG_LEN(0); at < control->cmsg_len; at += sizeof(int)) {
        int handed = -1;
        std::memcpy(&handed, reinterpret_cast<const char*>(control) + at, sizeof handed);
        ::close(handed);
    }
    message->msg_controllen = 0;
    message->msg_flags |= MSG_CTRUNC;
    return size;
}
inline int poll(::pollfd* fds, ::nfds_t count, int timeout) noexcept {
    return fails(Fault::transfer, EINTR) ? -1 : ::poll(fds, count, timeout);
}
inline int ppoll(::pollfd* fds, ::nfds_t count, const ::timespec* timeout,
                 const ::sigset_t* mask) noexcept {
    return fails(Fault::transfer, EINTR) ? -1 : ::ppoll(fds, count, timeout, mask);
}

}  // namespace chaos::calls

#define MUSTER_SYSCALL(name) ::chaos::calls::name
