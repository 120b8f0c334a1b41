// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include <muster/detail/connection/channel.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/serialization/buffer.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A socket that one thread can close while others use it. A copy of this process, made by `fork`,
/// does not have it.
///
/// Thread safety: all members.
class ClosableSocket {
  public:
    /// Keeps the descriptor as long as a call goes on.
    using Use = std::shared_ptr<const os::PrivateFd>;

    /// `what` it is, in errors.
    ClosableSocket(os::Fd fd, const char* what)
        : what_{what}, socket_{std::make_shared<const os::PrivateFd>(std::move(fd))} {}
    ClosableSocket(const ClosableSocket&) = delete;
    ClosableSocket& operator=(const ClosableSocket&) = delete;
    ~ClosableSocket() { close(); }

    /// **Throws**: `InvalidStateError` when it is closed.
    [[nodiscard]] Use use() const {
        // In a copy the mutex may be held by a thread that is not there.
        if (!is_own())
            throw InvalidStateError("muster: this " + std::string(what_) +
                                    " belongs to the process that this one is a copy of");
        const std::lock_guard held(mutex_);
        if (!socket_) throw InvalidStateError("muster: this " + std::string(what_) + " is closed");
        return socket_;
    }
    [[nodiscard]] bool closed() const noexcept {
        if (!is_own()) return true;
        const std::lock_guard held(mutex_);
        return !socket_;
    }

    /// Wakes those who use it. The descriptor is closed when the last of them has ended.
    void close() noexcept {
        if (!is_own()) return;
        Use last;
        {
            const std::lock_guard held(mutex_);
            last.swap(socket_);
        }
        if (last) os::end_conversation(last->get());
    }

  private:
    [[nodiscard]] bool is_own() const noexcept { return generation_ == os::fork_generation(); }

    const char* what_;
    const std::uint64_t generation_ = os::fork_generation();
    mutable std::mutex mutex_;
    Use socket_;
};

/// Messages over a connected stream socket: a size in eight bytes, and that many bytes.
///
/// The other end is believed only as far as it delivers: whatever size it claims, what is allocated
/// is no more than a megabyte, or as much again as has come.
class SocketChannel final : public Channel {
  public:
    explicit SocketChannel(os::Fd socket) : socket_{std::move(socket), "connection"} {}

    void send(const Write& write) override {
        (void)socket_.use();
        HeapBuffer message;
        std::uint64_t size = 0;
        message.append(&size, sizeof size);
        write(message);
        size = message.size - sizeof size;
        std::memcpy(message.data, &size, sizeof size);

        const std::lock_guard turn(send_turn_);
        const ClosableSocket::Use socket = socket_.use();
        for (std::span<const std::byte> rest(message.data, message.size); !rest.empty();) {
            std::size_t sent = 0;
            try {
                sent = os::send_some(socket->get(), rest);
            } catch (...) {
                // What is sent next would be taken for the rest of this message.
                if (rest.size() != message.size) close();
                throw;
            }
            if (sent == 0) throw_end("is closed");
            rest = rest.subspan(sent);
        }
    }

    void receive(const Read& read) override {
        HeapBuffer message;
        receive_into(message);
        read({message.data, message.size});
    }

    bool poll(const Deadline& deadline) override {
        const ClosableSocket::Use socket = socket_.use();
        const bool ready = os::wait_readable(socket->get(), deadline);
        (void)socket_.use();  // Being closed makes it ready too.
        return ready;
    }

    int native_handle() override { return socket_.use()->get(); }
    void close() noexcept override { socket_.close(); }
    [[nodiscard]] bool closed() const noexcept override { return socket_.closed(); }

    [[nodiscard]] std::shared_ptr<SharedReference> reference() const override {
        (void)socket_.use();
        return nullptr;
    }

  private:
    static constexpr std::size_t step = std::size_t{1} << 20;

    void receive_into(HeapBuffer& message) {
        (void)socket_.use();  // In a copy somebody may be in his turn for ever.
        const std::lock_guard turn(receive_turn_);
        const ClosableSocket::Use socket = socket_.use();
        std::uint64_t size = 0;
        std::size_t have = 0;
        while (have < sizeof size) {
            const auto room = std::as_writable_bytes(std::span(&size, 1)).subspan(have);
            const std::size_t got = os::receive_some(socket->get(), room);
            if (got == 0)
                throw_end(have == 0 ? "is closed, and all that it sent was read"
                                    : "was closed in the midst of a message");
            have += got;
        }
        while (message.size < size) {
            const std::uint64_t left = size - message.size;
            if (message.size == message.capacity) {
                try {
                    message.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(left, step)));
                } catch (...) {
                    close();  // Nobody would find the beginning of the next message.
                    throw;
                }
            }
            const std::size_t room = static_cast<std::size_t>(
                std::min<std::uint64_t>(left, message.capacity - message.size));
            const std::size_t got =
                os::receive_some(socket->get(), {message.data + message.size, room});
            if (got == 0)
                throw_end("was closed in the midst of a message, after " +
                          std::to_string(message.size) + " of " + std::to_string(size) + " bytes");
            message.size += got;
        }
    }

    /// It has ended because of the other end, or of `close()` here.
    [[noreturn]] void throw_end(const std::string& what) const {
        (void)socket_.use();
        throw EndOfFile("muster: the other end of this connection " + what);
    }

    ClosableSocket socket_;
    std::mutex send_turn_;
    std::mutex receive_turn_;
};

}  // namespace muster::detail
