// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/pidfd.hpp>
#include <muster/detail/posix/syscall.hpp>

// A process that makes copies of itself on request. What it does is done by system calls alone, for
// it may be a copy of a program whose other threads held any lock.

namespace muster::detail::posix {

/// The descriptors that a copy is given.
inline constexpr std::size_t handed_fds = 6;
using HandedFds = std::array<int, handed_fds>;

struct ForkRequest {
    enum class Kind : std::uint32_t { start, signal, signal_group };
    Kind kind = Kind::start;
    std::int32_t pid = 0;  ///< Of the copy that gets the signal.
    std::int32_t signal = 0;
};

struct ForkReport {
    enum class Kind : std::uint32_t { started, failed, left, killed };
    Kind kind = Kind::started;
    std::int32_t pid = 0;
    std::int32_t value = 0;  ///< errno, exit code, or signal.
};

/// Sends a message with descriptors. As `sendmsg`: -1 and `errno` if it failed.
inline ::ssize_t send_with_fds(int socket, std::span<const std::byte> bytes,
                               std::span<const int> fds, int flags = 0) noexcept {
    ::iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    ::msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(::cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * handed_fds)> control{};
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        ::cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
    }
    return retry_send(
        [&] { return MUSTER_SYSCALL(sendmsg)(socket, &message, flags | MSG_NOSIGNAL); });
}

/// Receives a message; `fds` gets the descriptors in it, -1 where there is none. As `recvmsg`.
inline ::ssize_t receive_with_fds(int socket, std::span<std::byte> bytes, HandedFds& fds,
                                  int flags) noexcept {
    ::iovec part{bytes.data(), bytes.size()};
    alignas(::cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int) * handed_fds)> control{};
    ::msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    fds.fill(-1);
    const ::ssize_t size = retry_interrupted(
        [&] { return MUSTER_SYSCALL(recvmsg)(socket, &message, flags | MSG_CMSG_CLOEXEC); });
    if (size <= 0) return size;
    for (::cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        std::memcpy(fds.data(), CMSG_DATA(header),
                    sizeof(int) * (count < handed_fds ? count : handed_fds));
    }
    return size;
}

/// What a fresh copy of a process does first: it has the null device as standard input, and a process
/// group of its own, ends by SIGTERM, and with its parent. Its descriptors may get other numbers.
inline void become_copy(::pid_t parent, HandedFds& fds) noexcept {
    (void)MUSTER_SYSCALL(setpgid)(0, 0);
    (void)MUSTER_SYSCALL(prctl)(PR_SET_PDEATHSIG, SIGKILL);
    if (MUSTER_SYSCALL(getppid)() != parent) MUSTER_SYSCALL(_exit)(1);
    // Where the program has closed its standard streams, what is received gets their numbers.
    for (int& fd : fds) {
        if (fd == -1 || fd > STDERR_FILENO) continue;
        const int above = MUSTER_SYSCALL(fcntl)(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        MUSTER_SYSCALL(close)(fd);
        fd = above;
    }
    const int null = MUSTER_SYSCALL(open)("/dev/null", O_RDWR | O_CLOEXEC);
    if (null > STDIN_FILENO) {
        (void)MUSTER_SYSCALL(dup2)(null, STDIN_FILENO);
        MUSTER_SYSCALL(close)(null);
    }
    // The program's handler for its own end, if it has one, must not keep a worker from its end.
    struct ::sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    (void)MUSTER_SYSCALL(sigaction)(SIGTERM, &by_default, nullptr);
}

/// The loop of the process that makes the copies.
class ForkLoop {
  public:
    explicit ForkLoop(int control) noexcept : control_{control} {}

    /// Serves until the other end of the socket is closed, and then ends the process. Returns in
    /// each copy, with the descriptors that it was given. The copy has its signals as they were
    /// before, but SIGTERM ends it; the null device as standard input; a process group of its own;
    /// and ends with this process.
    HandedFds serve() noexcept {
        ::sigset_t all;
        ::sigset_t but_child;
        ::sigfillset(&all);
        (void)MUSTER_SYSCALL(pthread_sigmask)(SIG_SETMASK, &all, &mask_);
        but_child = all;
        ::sigdelset(&but_child, SIGCHLD);
        thread_ = static_cast<::pid_t>(MUSTER_SYSCALL(syscall)(SYS_gettid));
        struct ::sigaction noticed {};
        noticed.sa_handler = &notice;
        (void)MUSTER_SYSCALL(sigaction)(SIGCHLD, &noticed, &child_action_);
        for (;;) {
            report_ends();
            ::pollfd request{control_, POLLIN, 0};
            if (MUSTER_SYSCALL(ppoll)(&request, 1, nullptr, &but_child) <= 0) continue;
            HandedFds fds{};
            if (answer(fds)) return fds;
        }
    }

  private:
    /// The arrival of SIGCHLD ends the wait of the thread that serves. If the program has others, one
    /// of these may get it.
    static void notice(int signal) noexcept {
        const int error = errno;
        if (MUSTER_SYSCALL(syscall)(SYS_gettid) != thread_)
            (void)MUSTER_SYSCALL(syscall)(SYS_tgkill, MUSTER_SYSCALL(getpid)(), thread_, signal);
        errno = error;
    }

    /// Does what the next request asks for. True in a copy.
    bool answer(HandedFds& fds) noexcept {
        ForkRequest request;
        const ::ssize_t size = receive_with_fds(
            control_, std::as_writable_bytes(std::span(&request, 1)), fds, MSG_DONTWAIT);
        if (size == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (size != static_cast<::ssize_t>(sizeof request)) MUSTER_SYSCALL(_exit)(0);
        if (request.kind == ForkRequest::Kind::start) return start(fds);
        // Only of those that are not reaped: the number is nobody else's then.
        ::siginfo_t info{};
        if (MUSTER_SYSCALL(waitid)(P_PID, static_cast<::id_t>(request.pid), &info,
                                   WEXITED | WNOHANG | WNOWAIT) == 0) {
            if (request.kind == ForkRequest::Kind::signal_group)
                (void)MUSTER_SYSCALL(kill)(-request.pid, request.signal);
            (void)MUSTER_SYSCALL(kill)(request.pid, request.signal);
        }
        return false;
    }

    bool start(HandedFds& fds) noexcept {
        const ::pid_t server = MUSTER_SYSCALL(getpid)();
        const ::pid_t pid = MUSTER_SYSCALL(fork)();
        if (pid == 0) {
            MUSTER_SYSCALL(close)(control_);
            become_copy(server, fds);
            (void)MUSTER_SYSCALL(sigaction)(SIGCHLD, &child_action_, nullptr);
            (void)MUSTER_SYSCALL(pthread_sigmask)(SIG_SETMASK, &mask_, nullptr);
            return true;
        }
        if (pid == -1) {
            report({ForkReport::Kind::failed, 0, errno}, {});
        } else {
            (void)MUSTER_SYSCALL(setpgid)(pid, pid);  // Whoever is first, it or its parent.
            const int pidfd = static_cast<int>(MUSTER_SYSCALL(syscall)(434, pid, 0U));
            report({ForkReport::Kind::started, pid, 0},
                   {&pidfd, static_cast<std::size_t>(pidfd == -1 ? 0 : 1)});
            if (pidfd != -1) MUSTER_SYSCALL(close)(pidfd);
        }
        for (const int fd : fds)
            if (fd != -1) MUSTER_SYSCALL(close)(fd);
        return false;
    }

    void report_ends() noexcept {
        for (;;) {
            ::siginfo_t info{};
            if (MUSTER_SYSCALL(waitid)(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
                return;
            report({info.si_code == CLD_EXITED ? ForkReport::Kind::left : ForkReport::Kind::killed,
                    info.si_pid, info.si_status},
                   {});
        }
    }

    void report(const ForkReport& report, std::span<const int> fds) noexcept {
        const auto bytes = std::as_bytes(std::span(&report, 1));
        if (send_with_fds(control_, bytes, fds) != -1) return;
        // Too many descriptors may be on their way: the client does without.
        if (errno != ETOOMANYREFS || send_with_fds(control_, bytes, {}) == -1)
            MUSTER_SYSCALL(_exit)(0);  // Nobody is there to hear it.
    }

    static constinit inline ::pid_t thread_ = 0;  // That serves: written before `notice` is called.

    int control_;
    ::sigset_t mask_{};
    struct ::sigaction child_action_ {};
};

}  // namespace muster::detail::posix
