// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <optional>
#include <span>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/kept_from_copies.hpp>
#include <muster/detail/posix/syscall.hpp>

// What goes through connected local sockets. No call here waits but those that say so: whoever waits
// for a socket that others hold as well can't be told by ending it, but by a bell of his own.

namespace muster::detail::posix {

enum class Direction : short { read = POLLIN, write = POLLOUT };

/// **Blocks** until the socket can be read or written, or has ended, or the bell rings, unless that
/// is -1. False when the deadline passed first. Throws: `std::system_error`.
inline bool wait_for_socket(int fd, Direction direction, int bell, const Deadline& deadline) {
    for (;;) {
        ::timespec timeout{};
        const Clock::time_point now = Clock::now();
        if (deadline && *deadline > now) {
            const auto left = *deadline - now;
            const auto whole = std::chrono::floor<std::chrono::seconds>(left);
            timeout.tv_sec = static_cast<decltype(timeout.tv_sec)>(whole.count());
            timeout.tv_nsec = static_cast<decltype(timeout.tv_nsec)>(
                std::chrono::nanoseconds(left - whole).count());
        }
        std::array<::pollfd, 2> entries{
            {{fd, static_cast<short>(direction), 0}, {bell, POLLIN, 0}}};
        const int count = MUSTER_SYSCALL(ppoll)(entries.data(), entries.size(),
                                                deadline ? &timeout : nullptr, nullptr);
        if (count == -1 && errno == EINTR) continue;
        return check(count, "ppoll") != 0;
    }
}

/// A descriptor that is readable while the socket is, and while the bell rings.
/// Throws: `std::system_error`.
inline PrivateFd watch_socket(int fd, int bell) {
    PrivateFd both{
        above_stdio(Fd{check(MUSTER_SYSCALL(epoll_create1)(EPOLL_CLOEXEC), "epoll_create1")})};
    for (const int each : {fd, bell}) {
        ::epoll_event event{};
        event.events = EPOLLIN;
        check(MUSTER_SYSCALL(epoll_ctl)(both.get(), EPOLL_CTL_ADD, each, &event), "epoll_ctl");
    }
    return both;
}

/// Whether nobody holds the other end of a socket any more. Throws: `std::system_error`.
inline bool has_ended(int fd) {
    ::pollfd entry{fd, 0, 0};
    check(retry_interrupted([&] { return MUSTER_SYSCALL(ppoll)(&entry, 1, nullptr, nullptr); }),
          "ppoll");
    return (entry.revents & POLLHUP) != 0;
}

/// Whether it is an end of a stream of bytes.
inline bool is_stream(int fd) noexcept {
    int type = 0;
    ::socklen_t size = sizeof type;
    return MUSTER_SYSCALL(getsockopt)(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_STREAM;
}

/// Two ends of a stream of bytes. Throws: `std::system_error`.
inline std::pair<Fd, Fd> stream_pair() {
    int raw[2] = {-1, -1};
    check(MUSTER_SYSCALL(socketpair)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw), "socketpair");
    Fd first{raw[0]};
    Fd second{raw[1]};
    return {above_stdio(std::move(first)), above_stdio(std::move(second))};
}

/// What a call that does not wait gives: nothing when it would have to; none at the end.
using Transferred = std::optional<std::size_t>;

inline Transferred transferred(::ssize_t result, const char* call) {
    if (result == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) return std::nullopt;
    if (result == -1 && (errno == EPIPE || errno == ECONNRESET)) return 0;
    return static_cast<std::size_t>(check(result, call));
}

/// Sends the bytes, at least one, as a packet, which comes whole or not at all; and with it a
/// descriptor, unless that is -1. Throws: `std::system_error`.
inline Transferred try_send(int fd, std::span<const std::byte> bytes, int attached = -1) {
    ::iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(::cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    ::msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (attached != -1) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        ::cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof attached);
        std::memcpy(CMSG_DATA(header), &attached, sizeof attached);
    }
    return transferred(
        retry_interrupted(
            [&] { return MUSTER_SYSCALL(sendmsg)(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT); }),
        "sendmsg");
}

/// The descriptor that came with a message; empty if none did.
inline Fd descriptor_in(::msghdr& message) noexcept {
    const ::cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
        header->cmsg_len != CMSG_LEN(sizeof(int)))
        return {};
    int raw = -1;
    std::memcpy(&raw, CMSG_DATA(header), sizeof raw);
    return Fd{raw};
}

/// Receives a packet, and the descriptor that may have come with it. What `room` can't take is lost,
/// and so are further descriptors. Throws: `std::system_error`; when there are too many descriptors,
/// the packet is gone.
inline Transferred try_receive(int fd, std::span<std::byte> room, Fd& attached) {
    ::iovec part{room.data(), room.size()};
    alignas(::cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    ::msghdr message{};
    const auto receive = [&] {
        message = {};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        // Not all of it: with what it is padded by there would be room for two.
        message.msg_controllen = CMSG_LEN(sizeof(int));
        const ::ssize_t got =
            MUSTER_SYSCALL(recvmsg)(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got != -1) attached = descriptor_in(message);  // Also that of a packet without bytes.
        return got;
    };
    ::ssize_t got = retry_interrupted(receive);
    // A peer that ended without having read everything says so once, before what it sent itself. And
    // what one sent in this moment, and then ended, is there though the system has overlooked it.
    if (got == 0 || (got == -1 && errno == ECONNRESET)) got = retry_interrupted(receive);
    const Transferred size = transferred(got, "recvmsg");
    if (!size) return size;
    if (!attached && (message.msg_flags & MSG_CTRUNC) != 0)
        throw_error(EMFILE, "recvmsg of a descriptor");
    attached = above_stdio(std::move(attached));
    return size;
}

/// Sends some bytes of a stream. Requires: there are any. Throws: `std::system_error`.
inline Transferred try_send_some(int fd, std::span<const std::byte> bytes) {
    return transferred(retry_interrupted([&] {
                           return MUSTER_SYSCALL(send)(fd, bytes.data(), bytes.size(),
                                                       MSG_NOSIGNAL | MSG_DONTWAIT);
                       }),
                       "send");
}

/// Receives some bytes of a stream. Throws: `std::system_error`.
inline Transferred try_receive_some(int fd, std::span<std::byte> room) {
    return transferred(retry_interrupted([&] {
                           return MUSTER_SYSCALL(recv)(fd, room.data(), room.size(), MSG_DONTWAIT);
                       }),
                       "recv");
}

}  // namespace muster::detail::posix
