// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <muster/detail/posix/lifeline.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace posix_lifeline_test {

using namespace muster::detail::posix;

namespace {

std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span{text.data(), text.size()});
}

std::optional<std::string> receive(int fd) {
    std::array<std::byte, 64> buffer{};
    const auto size = receive_packet(fd, buffer);
    if (!size) return std::nullopt;
    std::string text(*size, ' ');
    std::memcpy(text.data(), buffer.data(), *size);
    return text;
}

}  // namespace

TEST_CASE("packets arrive whole and in order, both ways") {
    const auto [one, other] = socket_pair();
    CHECK(send_packet(one.get(), bytes("first")));
    CHECK(send_packet(one.get(), bytes("second")));
    CHECK(send_packet(other.get(), bytes("back")));
    CHECK(receive(other.get()) == "first");
    CHECK(receive(other.get()) == "second");
    CHECK(receive(one.get()) == "back");
}

TEST_CASE(
    "a peer that is gone is the end for a receiver and false for a sender, without a signal") {
    auto [one, other] = socket_pair();
    other = Fd{};
    CHECK(receive(one.get()) == std::nullopt);
    CHECK_FALSE(send_packet(one.get(), bytes("x")));
    CHECK(try_send_packet(one.get(), bytes("x")) == SendResult::gone);
}

TEST_CASE("the last packets of a peer that left mail unread are still received") {
    auto [one, other] = socket_pair();
    CHECK(send_packet(one.get(), bytes("unread")));
    CHECK(send_packet(other.get(), bytes("last words")));
    CHECK(send_packet(other.get(), bytes("and more")));
    other = Fd{};
    CHECK(receive(one.get()) == "last words");
    CHECK(receive(one.get()) == "and more");
    CHECK(receive(one.get()) == std::nullopt);
}

TEST_CASE("a socket that is full says so, and a blocking send waits for room") {
    const auto [one, other] = socket_pair();
    std::size_t sent = 0;
    while (try_send_packet(one.get(), bytes("packet")) == SendResult::sent) ++sent;
    CHECK(sent > 0);
    CHECK(try_send_packet(one.get(), bytes("packet")) == SendResult::full);

    bool arrived = false;
    std::thread sender{[&, fd = one.get()] { arrived = send_packet(fd, bytes("last")); }};
    for (std::size_t i = 0; i < sent; ++i) CHECK(receive(other.get()) == "packet");
    CHECK(receive(other.get()) == "last");
    sender.join();
    CHECK(arrived);
}

TEST_CASE("a packet larger than the buffer is an error, and the next one is whole") {
    const auto [one, other] = socket_pair();
    CHECK(send_packet(one.get(), bytes(std::string(65, 'x'))));
    CHECK(send_packet(one.get(), bytes("next")));
    CHECK_THROWS_AS((void)receive(other.get()), std::system_error);
    CHECK(receive(other.get()) == "next");
}

TEST_CASE("a packet that never fits is an error") {
    const auto [one, other] = socket_pair();
    const std::vector<std::byte> huge(std::size_t{16} << 20);
    CHECK_THROWS_AS((void)try_send_packet(one.get(), huge), std::system_error);
}

}  // namespace posix_lifeline_test
