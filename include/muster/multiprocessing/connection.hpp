// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <muster/detail/call.hpp>
#include <muster/detail/connection/channel.hpp>
#include <muster/detail/connection/pipe_channel.hpp>
#include <muster/detail/connection/socket_broker.hpp>
#include <muster/detail/connection/socket_channel.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/errors.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// One of the two ends of a conversation: what one end sends, the other receives, in that order.
///
///     auto [ours, theirs] = muster::multiprocessing::Pipe();
///     auto task = pool.submit([](muster::multiprocessing::Connection its) {
///         while (its.recv<std::string>() != "bye") its.send(42);
///     }, theirs);
///     ours.send("What is the answer?");
///     std::cout << ours.recv<int>() << '\n';
///     ours.send("bye");
///
/// Messages are serialized values, or plain bytes, of any size. Both sides have to agree on what
/// comes when: `recv<T>` reads what was sent as a `T`, and `recv_bytes` what `send_bytes` sent.
///
/// A copy is the same end, in other processes too. An end is closed when every process that had it
/// has closed it, let go of all its copies, or died, if muster has started it: then the other end
/// reads what is left, and after that gets `EndOfFile`. So move an end that you give to another
/// process, or close your copy of it; and send no end of a pipe through that very pipe: it would keep
/// itself open.
///
/// One that was moved from has no end: it is closed, and all that needs one throws
/// `InvalidStateError`.
///
/// Thread safety: all members. Messages that several threads or processes send arrive whole, and
/// each message reaches one of those who receive.
class Connection {
  public:
    /// Sends a value. **Blocks** while the other end has much to read, about a megabyte. A string
    /// literal is sent as a `std::string`.
    ///
    /// **Throws**: `EndOfFile` when the other end is closed; `InvalidStateError` when this one is;
    /// what serializing the value throws; `std::bad_alloc`, `std::system_error`. Nothing is sent then.
    template <typename T>
    void send(const T& value) const {
        using Sent = detail::Kept<const T&>;
        detail::require_serializable<Sent>();
        if constexpr (Serializable<Sent>)
            channel().send([&value](detail::ByteBuffer& buffer) {
                detail::Encoder out(buffer);
                if constexpr (std::is_array_v<T>)
                    detail::encode<Sent>(out, Sent(value));
                else
                    detail::encode<Sent>(out, value);
            });
    }

    /// Receives the next message, which was sent as a `T`. **Blocks** until there is one.
    ///
    /// **Throws**: `EndOfFile` when the other end is closed and all it sent was read;
    /// `InvalidStateError` when this end is closed, also meanwhile; `SerializationError` when the
    /// message is no `T`: it is gone then.
    template <typename T>
    [[nodiscard]] T recv() const {
        detail::require_serializable<T>();
        std::optional<T> value;
        if constexpr (Serializable<T>)
            channel().receive([&value](std::span<const std::byte> message) {
                detail::Decoder in(message);
                value.emplace(detail::decode<T>(in));
                in.template expect_end<T>();
            });
        return *std::move(value);
    }

    /// As `send`, for bytes as they are.
    void send_bytes(std::span<const std::byte> bytes) const {
        channel().send(
            [&bytes](detail::ByteBuffer& buffer) { buffer.append(bytes.data(), bytes.size()); });
    }
    void send_bytes(std::string_view bytes) const {
        send_bytes(std::as_bytes(std::span(bytes.data(), bytes.size())));
    }

    /// As `recv`, for bytes as they are.
    [[nodiscard]] std::vector<std::byte> recv_bytes() const {
        std::vector<std::byte> bytes;
        channel().receive([&bytes](std::span<const std::byte> message) {
            bytes.assign(message.begin(), message.end());
        });
        return bytes;
    }

    /// Whether there is something to receive: a message, or the end.
    ///
    /// **Throws**: `InvalidStateError` when this end is closed.
    [[nodiscard]] bool poll() const { return channel().poll(detail::at_once); }
    /// The same; **blocks** until there is, for at most `timeout`.
    template <typename Rep, typename Period>
    [[nodiscard]] bool poll(std::chrono::duration<Rep, Period> timeout) const {
        return channel().poll(detail::deadline_after(timeout));
    }

    /// Closes all copies of this handle in this process. (The same end, received again, is a handle
    /// of its own.) Who waits in one of their calls is told by an `InvalidStateError`; a `wait` for it
    /// returns it. Does nothing the second time.
    void close() const noexcept {
        if (channel_) channel_->close();
    }
    [[nodiscard]] bool closed() const noexcept { return !channel_ || channel_->closed(); }

    /// A descriptor that is readable whenever `poll()` is true: for `poll`, not for `read`. It is
    /// this end's, and open until that is closed. See also `wait`.
    ///
    /// **Throws**: `InvalidStateError` when this end is closed; `std::system_error`.
    [[nodiscard]] int native_handle() const { return channel().native_handle(); }

    /// Whether both are copies of one handle.
    [[nodiscard]] friend bool operator==(const Connection& a, const Connection& b) noexcept {
        return a.channel_ == b.channel_;
    }

  protected:
    explicit Connection(std::shared_ptr<detail::Channel> channel) noexcept
        : channel_{std::move(channel)} {}
    explicit Connection(Access::Unread) {}

  private:
    friend class muster::Access;
    friend struct detail::MakeConnection;
    template <typename Archive>
    void save(Archive& ar) const {
        const detail::ChannelName name = channel().name();
        ar(name.address);
        name.address.empty() ? detail::save_reference(ar, name.hold) : ar.keep(name.hold);
    }
    template <typename Archive>
    void load(Archive& ar) {
        std::string address;
        ar(address);
        if (address.empty())
            channel_ = std::make_shared<detail::PipeChannel>(
                detail::load_reference<detail::SharedPipeEnd>(ar, detail::SharedPipeEnd::kind));
        else
            channel_ = std::make_shared<detail::SocketChannel>(
                detail::SocketBroker::fetch(address, "connection"));
    }

    [[nodiscard]] detail::Channel& channel() const {
        if (!channel_) throw InvalidStateError("muster: this Connection was moved from");
        return *channel_;
    }

    std::shared_ptr<detail::Channel> channel_;
};

static_assert(Serializable<Connection>);

}  // namespace muster::multiprocessing

namespace muster::detail {

/// Makes the public handle of a channel.
struct MakeConnection {
    static multiprocessing::Connection of(std::shared_ptr<Channel> channel) {
        return multiprocessing::Connection(std::move(channel));
    }
};

}  // namespace muster::detail
