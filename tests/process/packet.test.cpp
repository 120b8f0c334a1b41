// SPDX-License-Identifier: MIT
// ctest: start_methods
// What a worker says to its parent beside its results.
#include <muster/detail/process/worker_link.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "support/process_pool.hpp"

namespace process_packet_test {

namespace {

using muster::detail::Packet;
using muster::detail::receive_from_worker;
using muster::detail::send_stop;
using muster::detail::send_to_parent;
using muster::test::ProcessPool;
namespace os = muster::detail::os;

constexpr std::size_t longest = sizeof(Packet::text);
constexpr std::string_view ellipsis = "\xE2\x80\xA6";
constexpr std::string_view umlaut = "\xC3\xA4";

std::string repeated(std::string_view text, std::size_t times) {
    std::string all;
    while (times-- > 0) all += text;
    return all;
}

/// What arrives of a text.
std::string words_of(const std::string& text) {
    const auto [parent, worker] = os::socket_pair();
    send_to_parent(worker.get(), Packet::Kind::cannot_serve, text);
    const std::optional<Packet> packet = receive_from_worker(parent.get());
    REQUIRE(packet);
    CHECK(packet->kind == Packet::Kind::cannot_serve);
    return packet->words();
}

/// Whether a parent takes that for a packet: so many bytes that claim to end with such a text.
bool is_taken(std::size_t size, std::uint32_t text_size) {
    const auto [parent, worker] = os::socket_pair();
    Packet packet;
    packet.text_size = text_size;
    std::string bytes(reinterpret_cast<const char*>(&packet), sizeof packet);
    bytes += 'x';
    REQUIRE(os::send_packet(worker.get(), std::as_bytes(std::span(bytes)).first(size)));
    return receive_from_worker(parent.get()).has_value();
}

/// What the futures of a pool say whose initializer fails with this text.
std::string broken_by(const std::string& text) {
    ProcessPool pool(
        {.max_workers = 1,
         .initializer = {[](const std::string& words) { throw std::runtime_error(words); }, text}});
    try {
        (void)pool.submit([] { return 1; }).result();
    } catch (const muster::BrokenProcessPool& error) {
        return error.what();
    }
    return "it is not broken";
}

constexpr std::string_view broken =
    "muster: the process pool is broken; mend what follows, and make another: its initializer "
    "threw: ";

}  // namespace

TEST_CASE("a packet's text arrives whole, if it is not too long") {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, longest - 1, longest})
        CHECK(words_of(std::string(size, 'x')) == std::string(size, 'x'));
    CHECK(words_of(repeated(umlaut, longest / 2)) == repeated(umlaut, longest / 2));
}

TEST_CASE("a packet's text that is too long ends with an ellipsis, and not inside a character") {
    const std::size_t room = longest - ellipsis.size();
    CHECK(words_of(std::string(longest + 1, 'x')) ==
          std::string(room, 'x') + std::string(ellipsis));
    // The room is odd: without a letter ahead, the last character has half of its place.
    static_assert(room % 2 == 1);
    CHECK(words_of(repeated(umlaut, longest)) ==
          repeated(umlaut, room / 2) + std::string(ellipsis));
    CHECK(words_of("x" + repeated(umlaut, longest)) ==
          "x" + repeated(umlaut, room / 2) + std::string(ellipsis));
    // Nor is a text lost that is no UTF-8.
    CHECK(words_of(std::string(longest + 1, '\x80')) ==
          std::string(room - 3, '\x80') + std::string(ellipsis));
}

TEST_CASE("a packet whose size is not what it claims is none") {
    const std::size_t head = Packet::head_size();
    CHECK(is_taken(head, 0));
    CHECK(is_taken(head + 7, 7));
    CHECK(is_taken(sizeof(Packet), longest));
    CHECK_FALSE(is_taken(1, 0));
    CHECK_FALSE(is_taken(head - 1, 0));
    CHECK_FALSE(is_taken(head, 1));
    CHECK_FALSE(is_taken(head + 1, 0));
    CHECK_FALSE(is_taken(head + 7, 8));
    CHECK_FALSE(is_taken(head, 0xFFFF'FFFF));
    CHECK_FALSE(is_taken(head - 1, 0xFFFF'FFFF));
    CHECK_FALSE(is_taken(sizeof(Packet) + 1, longest + 1));
}

TEST_CASE("a request to stop takes no more room than it needs") {
    const auto [parent, worker] = os::socket_pair();
    REQUIRE(send_stop(parent.get(), 7));
    Packet packet;
    CHECK(os::receive_packet(worker.get(), std::as_writable_bytes(std::span(&packet, 1))) ==
          Packet::head_size());
    CHECK(packet.kind == Packet::Kind::stop);
    CHECK(packet.id == 7);
}

TEST_CASE("what an initializer throws is told whole") {
    const std::string message = "no licence: " + std::string(992, 'x');
    REQUIRE(message.size() == 1004);
    CHECK(broken_by(message) == std::string(broken) + message);
}

TEST_CASE("what an initializer throws is cut visibly, where it is very long") {
    const std::string message = broken_by(repeated(umlaut, 50'000));
    CHECK(message == std::string(broken) + repeated(umlaut, (longest - ellipsis.size()) / 2) +
                         std::string(ellipsis));
}

}  // namespace process_packet_test
