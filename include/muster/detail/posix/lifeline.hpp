// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <cassert>
#include <cstddef>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <optional>
#include <span>
#include <utility>

// Packets between a parent and a worker over a pair of sockets. Each side also learns by it that
// the other is gone: the system closes the sockets of a process that ends, however it ends.

namespace muster::detail::posix {

/// Two connected sockets that carry whole packets, in order, both ways.
///
/// Throws: `std::system_error`.
inline std::pair<Fd, Fd> socket_pair() {
    int raw[2] = {-1, -1};
    check(MUSTER_SYSCALL(socketpair)(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw), "socketpair");
    Fd first{raw[0]};
    Fd second{raw[1]};
    return {above_stdio(std::move(first)), above_stdio(std::move(second))};
}

/// What became of a packet.
enum class SendResult {
    sent,  ///< The peer can receive it.
    full,  ///< It wasn't sent: the peer has too much to read already.
    gone,  ///< It wasn't sent: nobody holds the other end.
};

inline ::ssize_t send_at_once(int fd, std::span<const std::byte> packet) noexcept {
    assert(!packet.empty());
    return MUSTER_SYSCALL(send)(fd, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}
inline SendResult send_result(::ssize_t sent) {
    if (sent != -1) return SendResult::sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return SendResult::full;
    if (errno == EPIPE || errno == ECONNRESET) return SendResult::gone;
    throw_errno("send");
}

/// Sends a packet if that is possible at once.
///
/// Requires: the packet isn't empty: an empty one reads like the end.
/// Throws: `std::system_error`; with `EMSGSIZE` for a packet that never fits (some 200 KiB).
inline SendResult try_send_packet(int fd, std::span<const std::byte> packet) {
    return send_result(retry_interrupted([&] { return send_at_once(fd, packet); }));
}

/// Sends a packet; false when nobody holds the other end.
///
/// Blocks: while the peer has too much to read, or the system no memory for the packet.
/// Requires: the packet isn't empty.
/// Throws: as try_send_packet.
inline bool send_packet(int fd, std::span<const std::byte> packet) {
    for (;;) {
        const SendResult result = send_result(retry_send([&] { return send_at_once(fd, packet); }));
        if (result != SendResult::full) return result == SendResult::sent;
        ::pollfd room{fd, POLLOUT, 0};
        check(retry_interrupted([&] { return MUSTER_SYSCALL(poll)(&room, 1, -1); }), "poll");
    }
}

/// Receives a packet into `buffer` and returns its size; empty at the end.
///
/// What the peer sent before it ended is received first.
///
/// Blocks: until there is a packet, or nobody holds the other end any more.
/// Throws: `std::system_error`; with `EMSGSIZE` for a packet larger than `buffer`, which is lost.
inline std::optional<std::size_t> receive_packet(int fd, std::span<std::byte> buffer) {
    for (;;) {
        const auto size = retry_interrupted(
            [&] { return MUSTER_SYSCALL(recv)(fd, buffer.data(), buffer.size(), MSG_TRUNC); });
        if (size == 0) return std::nullopt;
        if (size > 0) {
            if (static_cast<std::size_t>(size) > buffer.size()) throw_error(EMSGSIZE, "recv");
            return static_cast<std::size_t>(size);
        }
        // A peer that ends without having read everything is reported once, ahead of its last
        // packets: those are still there.
        if (errno == ECONNRESET) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) throw_errno("recv");
        ::pollfd packet{fd, POLLIN, 0};
        check(retry_interrupted([&] { return MUSTER_SYSCALL(poll)(&packet, 1, -1); }), "poll");
    }
}

}  // namespace muster::detail::posix
