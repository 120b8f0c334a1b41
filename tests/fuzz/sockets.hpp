// SPDX-License-Identifier: MIT
#pragma once

#include <fuzz/fuzzing.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstring>
#include <span>

/// What fuzzers of sockets have in common.
namespace fuzz {

using Descriptors = std::span<const int>;

inline constexpr std::size_t most_descriptors = 6;

/// Sends a packet. False if the other end's queue is full.
inline bool send_packet(int fd, Input bytes, Descriptors attached) {
    ::iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    alignas(::cmsghdr) std::array<std::byte, CMSG_SPACE(most_descriptors * sizeof(int))> control{};
    ::msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!attached.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(attached.size_bytes());
        ::cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(attached.size_bytes());
        std::memcpy(CMSG_DATA(header), attached.data(), attached.size_bytes());
    }
    return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != -1;
}

/// Which of the numbers that files get next have one.
inline std::bitset<12> open_from(int first) {
    std::bitset<12> open;
    for (std::size_t i = 0; i < open.size(); ++i)
        open[i] = ::fcntl(first + static_cast<int>(i), F_GETFD) != -1;
    return open;
}

}  // namespace fuzz
