// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include <muster/detail/deadline.hpp>
#include <muster/detail/serialization/buffer.hpp>

namespace muster::detail {

class SharedReference;
struct MakeConnection;  // The public handle of a channel.

/// What names an end in other processes of the family.
struct ChannelName {
    std::string address;                    ///< Where it is handed out; empty for one of a pipe.
    std::shared_ptr<SharedReference> hold;  ///< As long as somebody refers to this.
};

/// What a `Connection` sends and receives messages through; all its copies have the same.
///
/// Thread safety: all members. A message is sent, and received, as a whole.
class Channel {
  public:
    Channel() = default;
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    virtual ~Channel() = default;

    using Write = std::function<void(ByteBuffer&)>;
    using Read = std::function<void(std::span<const std::byte>)>;

    /// Sends the message that `write` puts into a buffer. What `write` throws leaves it, and then
    /// nothing is sent. **Blocks** while the other end has too much to read.
    ///
    /// **Throws**: `EndOfFile` when the other end is closed; `InvalidStateError` when this one is.
    virtual void send(const Write& write) = 0;

    /// Gives the next message to `read`. What `read` throws leaves it; the message is gone then.
    /// **Blocks** until there is one.
    ///
    /// **Throws**: as `send`, but `EndOfFile` only when all that was sent is read.
    virtual void receive(const Read& read) = 0;

    /// **Blocks** until there is a message, or the other end is closed; false when there was none in
    /// time. **Throws**: `InvalidStateError` when this end is closed, also meanwhile.
    virtual bool poll(const Deadline& deadline) = 0;

    /// A descriptor that is readable whenever `poll` would return true at once. The channel's.
    /// **Throws**: `InvalidStateError` when this end is closed; `std::system_error`.
    virtual int native_handle() = 0;

    /// Whoever waits here is told. Does nothing the second time.
    virtual void close() noexcept = 0;
    [[nodiscard]] virtual bool closed() const noexcept = 0;

    /// **Throws**: `InvalidStateError` when this end is closed; `std::bad_alloc`, `std::system_error`.
    [[nodiscard]] virtual ChannelName name() const = 0;
};

}  // namespace muster::detail
