// SPDX-License-Identifier: MIT
// Receives from a connection whose other end is no Connection: what a Listener has accepted. The
// other end sends packets that are messages or not, with descriptors or without, and is closed.
//
//     fuzz_connection --seeds=corpus && fuzz_connection corpus -max_len=4096 -timeout=10
//
// The first byte of an input chooses what is received, the others are a script: for each packet its
// kind, and what it says.
#include <fuzz/fuzzed_types.hpp>
#include <fuzz/fuzzing.hpp>
#include <fuzz/sockets.hpp>

#include <muster/muster.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <vector>

namespace fuzz {

namespace {

using namespace muster::detail;
using muster::multiprocessing::Connection;

enum class Packet : std::uint8_t {
    message,      // As a connection sends it.
    bytes,        // Any.
    large,        // A message of any size, and a stream.
    stream,       // Any bytes with a stream.
    two_streams,  // The same with one more.
    no_socket,    // The same with what is none.
    empty,
    kinds
};

/// What the other end has sent.
struct Sent {
    std::size_t packets = 0;
    std::size_t streams = 0;
};

Bytes sized(std::uint64_t size, Input bytes) {
    Bytes packet(sizeof size + bytes.size());
    std::memcpy(packet.data(), &size, sizeof size);
    std::copy(bytes.begin(), bytes.end(), packet.begin() + sizeof size);
    return packet;
}

/// Sends a packet with a stream that brings these bytes, and ends.
bool send_stream(int fd, Input packet, Input streamed, std::size_t streams) {
    auto [read, written] = os::stream_pair();
    if (!streamed.empty()) (void)os::try_send_some(written.get(), streamed);
    const std::array<int, 2> both{read.get(), read.get()};
    return send_packet(fd, packet, Descriptors(both).first(streams));
}

/// Plays the script at the other end, which is closed then.
Sent play(const os::Fd& other, Reader& script) {
    const int fd = other.get();
    Sent sent;
    for (bool goes_on = true; goes_on && !script.ended() && sent.packets < 8; ++sent.packets) {
        const auto kind =
            static_cast<Packet>(script.number(1) % static_cast<std::uint64_t>(Packet::kinds));
        const std::uint64_t size = kind == Packet::large ? script.number(8) : 0;
        const Input bytes = script.take(script.number(2));
        switch (kind) {
            case Packet::message:
                goes_on = send_packet(fd, sized(bytes.size(), bytes), {});
                break;
            case Packet::bytes:
                goes_on = send_packet(fd, bytes, {});
                break;
            case Packet::large:
                goes_on = send_stream(fd, sized(size, {}), bytes, 1);
                ++sent.streams;
                break;
            case Packet::stream:
                goes_on = send_stream(fd, bytes, script.take(script.number(2)), 1);
                ++sent.streams;
                break;
            case Packet::two_streams:
                goes_on = send_stream(fd, bytes, script.take(script.number(2)), 2);
                ++sent.streams;
                break;
            case Packet::no_socket: {
                const int input = STDIN_FILENO;
                goes_on = send_packet(fd, bytes, Descriptors(&input, 1));
                break;
            }
            default:
                goes_on = send_packet(fd, {}, {});
                break;
        }
    }
    return sent;
}

template <typename T>
void receive(const Connection& connection) {
    (void)connection.recv<T>();
}

constexpr std::array receivers{
    +[](const Connection& connection) { (void)connection.recv_bytes(); },
    &receive<std::string>,
    &receive<std::vector<int>>,
    &receive<Mixed>,
    &receive<Json>,
};

/// Receives until the end. Whatever the other end sends, each packet is a message or an error.
void receive_all(const Connection& connection, std::size_t chosen, const Sent& sent) {
    for (std::size_t received = 0;; ++received) {
        require(received <= sent.packets, "there are no more messages than packets");
        try {
            receivers[chosen](connection);
        } catch (const muster::EndOfFile&) {
            return;
        } catch (const muster::SerializationError&) {  // Others, but these, end the fuzzer.
        } catch (const std::system_error&) {           // A stream that is no socket.
        }
    }
}

}  // namespace

void fuzz_one(Input input) {
    Reader script(input);
    const std::size_t chosen = script.number(1) % receivers.size();
    const int free = os::duplicate_above(STDIN_FILENO, 0).get();
    const auto open = open_from(free);
    {
        std::array<int, 2> raw{};
        os::check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw.data()),
                  "socketpair");
        const Connection connection =
            MakeConnection::of(std::make_shared<SocketChannel>(os::Fd(raw[0])));
        const Sent sent = [&] {
            const os::Fd other(raw[1]);
            return play(other, script);
        }();
        // Each packet has room for the largest, and what comes through a stream begins with a megabyte.
        const Budget budget(2 * input.size(),
                            32768 + (sent.packets + 1) * 40000 + (sent.streams << 20));
        receive_all(connection, chosen, sent);
    }
    require(open_from(free) == open, "what came with the packets is closed");
}

namespace {

/// A script, packet by packet.
struct Script {
    explicit Script(std::uint8_t receiver) : bytes{std::byte{receiver}} {}

    void number(std::uint64_t value, std::size_t size) {
        for (std::size_t i = size; i-- > 0;)
            bytes.push_back(static_cast<std::byte>(value >> 8 * i));
    }
    void add(Packet kind, Input packet) {
        number(static_cast<std::uint8_t>(kind), 1);
        add(packet);
    }
    void add_large(std::uint64_t size, Input streamed) {
        number(static_cast<std::uint8_t>(Packet::large), 1);
        number(size, 8);
        add(streamed);
    }
    void add(Input some) {
        number(some.size(), 2);
        bytes.insert(bytes.end(), some.begin(), some.end());
    }

    Bytes bytes;
};

}  // namespace

void write_seeds(Seeds& seeds) {
    const std::vector<Bytes> values{{},
                                    muster::serialize(std::string("text")),
                                    muster::serialize(std::vector<int>{1, 2, 3}),
                                    muster::serialize(Mixed()),
                                    muster::serialize(Json{std::vector<Json>(2)})};
    for (std::size_t i = 0; i < receivers.size(); ++i) {
        const Bytes& value = values[i];
        const auto add = [&](auto write) {
            Script script(static_cast<std::uint8_t>(i));
            write(script);
            script.add(Packet::message, value);  // Is received after what is none, too.
            seeds.add(script.bytes);
        };
        add([&](Script& script) { script.add(Packet::bytes, sized(value.size() + 1, value)); });
        add([&](Script& script) { script.add(Packet::empty, {}); });
        add([&](Script& script) { script.add(Packet::no_socket, sized(value.size(), {})); });
        for (const std::uint64_t size : {std::uint64_t{value.size()}, ~std::uint64_t{0}})
            add([&](Script& script) { script.add_large(size, value); });
        for (const Packet kind : {Packet::stream, Packet::two_streams})
            add([&](Script& script) {
                script.add(kind, sized(value.size(), {}));
                script.add(value);
            });
    }
}

}  // namespace fuzz
