// SPDX-License-Identifier: MIT
// ctest: alone
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <utility>

/// The system as it is when a peer sends, and ends, while an empty socket is being looked at: what
/// was sent is there, but the call says that nothing comes any more.
namespace overlooking {
using ::close;
using ::dup3;
using ::epoll_create1;
using ::epoll_ctl;
using ::fcntl;
using ::getsockopt;
using ::open;
using ::poll;
using ::ppoll;
using ::pthread_atfork;
using ::recv;
using ::send;
using ::sendmsg;
using ::socketpair;

inline std::function<void()> meanwhile;

inline ::ssize_t recvmsg(int fd, ::msghdr* message, int flags) {
    const auto result = ::recvmsg(fd, message, flags);
    if (result != -1 || errno != EAGAIN || !meanwhile) return result;
    std::exchange(meanwhile, nullptr)();
    return 0;
}
}  // namespace overlooking

#define MUSTER_SYSCALL(name) ::overlooking::name
#include <array>
#include <cstddef>
#include <cstring>
#include <muster/detail/posix/socket_transfer.hpp>

#include <doctest/doctest.h>

#include "posix/descriptors.hpp"

namespace posix_socket_transfer_test {

using namespace muster::detail::posix;

TEST_CASE("what a peer sends right before it ends is not overlooked") {
    for (const bool sends : {false, true}) {
        int raw[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw) == 0);
        const Fd receiving(raw[0]);
        Fd sending(raw[1]);
        std::array<std::byte, 3> packet{};
        Fd attached;
        CHECK_FALSE(try_receive(receiving.get(), packet, attached).has_value());
        overlooking::meanwhile = [&] {
            if (sends) (void)try_send(sending.get(), packet, receiving.get());
            sending = Fd();
        };
        CHECK(try_receive(receiving.get(), packet, attached) == (sends ? 3U : 0U));
        CHECK(static_cast<bool>(attached) == sends);
        CHECK(try_receive(receiving.get(), packet, attached) == 0U);
    }
}

TEST_CASE("descriptors that nobody asked for are closed") {
    const auto before = muster::test::open_descriptors();
    {
        int raw[2] = {-1, -1};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw) == 0);
        const Fd receiving(raw[0]);
        const Fd sending(raw[1]);
        const std::array<int, 2> both{receiving.get(), receiving.get()};
        for (const std::size_t bytes : {std::size_t{0}, std::size_t{3}}) {
            std::array<std::byte, 3> packet{};
            ::iovec part{packet.data(), bytes};
            alignas(::cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof both)> control{};
            ::msghdr message{};
            message.msg_iov = &part;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            ::cmsghdr* const header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof both);
            std::memcpy(CMSG_DATA(header), both.data(), sizeof both);
            REQUIRE(::sendmsg(sending.get(), &message, 0) != -1);
        }
        std::array<std::byte, 3> packet{};
        Fd attached;
        CHECK(try_receive(receiving.get(), packet, attached) == 3U);
    }
    CHECK(muster::test::open_descriptors() == before);
}

}  // namespace posix_socket_transfer_test
