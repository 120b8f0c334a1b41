// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <muster/detail/connection/channel.hpp>
#include <muster/detail/connection/closable_socket.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/serialization/buffer.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// Messages over a connected socket, one in each packet: its size in eight bytes, and that many
/// bytes. Of a large one the packet has the size alone, and brings a stream that the bytes come
/// through. So several processes can use the same end, and one that dies spoils its own message only.
///
/// The other end is believed only as far as it delivers: whatever size it claims, what is allocated
/// is no more than a megabyte, or as much again as has come.
class SocketChannel final : public Channel {
  public:
    explicit SocketChannel(os::Fd socket) : socket_{std::move(socket), "connection"} {}

    void send(const Write& write) override {
        (void)socket_.use();
        HeapBuffer message;
        Size size = 0;
        message.append(&size, sizeof size);
        write(message);
        size = message.size - sizeof size;
        std::memcpy(message.data, &size, sizeof size);
        const std::span<const std::byte> bytes(message.data, message.size);

        const ClosableSocket::Use socket = socket_.use();
        if (bytes.size() <= largest_packet) return send_packet(socket->get(), bytes, -1);
        auto [ours, theirs] = os::stream_pair();
        send_packet(socket->get(), bytes.first(sizeof size), theirs.get());
        theirs = os::Fd();
        const int stream = ours.get();
        for (auto rest = bytes.subspan(sizeof size); !rest.empty();) {
            const std::size_t sent = transfer(stream, os::Direction::write,
                                              [&] { return os::try_send_some(stream, rest); });
            if (sent == 0) {
                if (os::has_ended(socket->get())) throw_end("is closed");
                return;  // Who was reading it has died or given up. It is gone with him.
            }
            rest = rest.subspan(sent);
        }
    }

    void receive(const Read& read) override {
        const ClosableSocket::Use socket = socket_.use();
        std::string end = "is closed, and all that it sent was read";
        for (;;) {
            HeapBuffer message;
            message.reserve(largest_packet);
            os::Fd stream;
            message.size = transfer(socket->get(), os::Direction::read, [&] {
                return os::try_receive(socket->get(), {message.data, largest_packet}, stream);
            });
            if (message.size == 0) throw_end(end);
            Size size = 0;
            if (message.size >= sizeof size) std::memcpy(&size, message.data, sizeof size);
            // A peer that sends its own end instead of a stream would make this process hold it.
            if (message.size != sizeof size + (stream ? 0 : size) ||
                (stream && !os::is_stream(stream.get())))
                throw SerializationError(
                    "muster: the other end of this connection sent what is no message");
            if (!stream) return read({message.data + sizeof size, static_cast<std::size_t>(size)});
            message.size = 0;
            receive_large(stream.get(), size, message);
            if (message.size == size) return read({message.data, message.size});
            // It is none, and others who have that end may send more.
            end = "was closed in the midst of a message, after " + std::to_string(message.size) +
                  " of " + std::to_string(size) + " bytes";
        }
    }

    bool poll(const Deadline& deadline) override {
        const ClosableSocket::Use socket = socket_.use();
        return socket_.wait(socket->get(), os::Direction::read, deadline);
    }

    int native_handle() override { return socket_.native_handle(); }
    void close() noexcept override { socket_.close(); }
    [[nodiscard]] bool closed() const noexcept override { return socket_.closed(); }
    [[nodiscard]] ChannelName name() const override { return socket_.name(); }

  private:
    using Size = std::uint64_t;

    static constexpr std::size_t largest_packet = std::size_t{1} << 15;
    static constexpr std::size_t step = std::size_t{1} << 20;

    /// Repeats the call until it need not wait.
    template <typename Call>
    std::size_t transfer(int fd, os::Direction direction, Call call) const {
        for (;;) {
            if (const os::Transferred done = call()) return *done;
            (void)socket_.wait(fd, direction, std::nullopt);
        }
    }

    void send_packet(int fd, std::span<const std::byte> bytes, int attached) const {
        if (transfer(fd, os::Direction::write, [&] { return os::try_send(fd, bytes, attached); }) ==
            0)
            throw_end("is closed");
    }

    /// As much as comes of so many bytes.
    void receive_large(int stream, Size size, HeapBuffer& message) const {
        while (message.size < size) {
            const Size left = size - message.size;
            if (message.size == message.capacity)
                message.reserve(static_cast<std::size_t>(std::min<Size>(left, step)));
            const auto room =
                static_cast<std::size_t>(std::min<Size>(left, message.capacity - message.size));
            const std::size_t got = transfer(stream, os::Direction::read, [&] {
                return os::try_receive_some(stream, {message.data + message.size, room});
            });
            if (got == 0) return;
            message.size += got;
        }
    }

    /// It has ended because of the other end, or of `close()` here.
    [[noreturn]] void throw_end(const std::string& what) const {
        (void)socket_.use();
        throw EndOfFile("muster: the other end of this connection " + what);
    }

    ClosableSocket socket_;
};

}  // namespace muster::detail
