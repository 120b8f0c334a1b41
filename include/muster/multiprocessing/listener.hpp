// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <muster/detail/connection/channel.hpp>
#include <muster/detail/connection/closable_socket.hpp>
#include <muster/detail/connection/socket_broker.hpp>
#include <muster/detail/connection/socket_channel.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>
#include <muster/multiprocessing/connection.hpp>
#include <muster/serialization.hpp>

namespace muster::detail {

/// What the copies of a `Listener` share.
class ListenerState {
  public:
    explicit ListenerState(const os::LocalAddress& address)
        : ListenerState(address, os::listen_at(address)) {}
    /// Of a socket that another process has made: the file is that one's.
    ListenerState(std::string address, os::Fd socket)
        : address_{std::move(address)}, socket_{std::move(socket), "listener"} {}

    std::optional<multiprocessing::Connection> accept(const Deadline& deadline) {
        const ClosableSocket::Use socket = socket_.use();
        for (bool more = true; more;) {
            os::Fd peer = os::accept_local(socket->get());
            if (peer && os::is_trusted_peer(peer.get()))
                return MakeConnection::of(std::make_shared<SocketChannel>(std::move(peer)));
            if (peer) refused_.fetch_add(1, std::memory_order_relaxed);  // A count, no more.
            more = peer ? !expired(deadline)
                        : socket_.wait(socket->get(), os::Direction::read, deadline);
        }
        return std::nullopt;
    }

    void close() noexcept {
        if (closed()) return;  // Also in a copy, where the mutex may be held for ever.
        {
            const std::lock_guard held(mutex_);
            const os::SocketFile removed = std::exchange(file_, os::SocketFile());
        }
        socket_.close();  // Only now: nobody takes the file for an abandoned one.
    }
    [[nodiscard]] bool closed() const noexcept { return socket_.closed(); }

    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    [[nodiscard]] std::size_t refused() const noexcept {
        return refused_.load(std::memory_order_relaxed);
    }
    [[nodiscard]] int native_handle() const { return socket_.native_handle(); }
    [[nodiscard]] ChannelName name() const { return socket_.name(); }

    ListenerState(const ListenerState&) = delete;
    ListenerState& operator=(const ListenerState&) = delete;
    ~ListenerState() { close(); }

  private:
    ListenerState(const os::LocalAddress& address, os::LocalListener listener)
        : address_{address.text()},
          file_{std::move(listener.file)},
          socket_{std::move(listener.socket), "listener"} {}

    const std::string address_;
    std::mutex mutex_;
    os::SocketFile file_;
    ClosableSocket socket_;
    std::atomic<std::size_t> refused_{0};
};

/// A connection to who listens at the address; see `multiprocessing::Client`.
inline std::shared_ptr<Channel> connect_channel(const std::string& address) {
    return std::make_shared<SocketChannel>(os::connect_to(os::LocalAddress(address)));
}
inline std::shared_ptr<Channel> connect_channel(const std::string& address,
                                                const Deadline& deadline) {
    os::Fd socket = os::connect_until(os::LocalAddress(address), deadline);
    if (!socket) throw TimeoutError("muster: nobody listens at '" + address + "' yet");
    return std::make_shared<SocketChannel>(std::move(socket));
}

}  // namespace muster::detail

namespace muster::multiprocessing {

/// Waits for other programs of this user and machine to connect, as `Client`.
///
///     const muster::multiprocessing::Listener listener("/run/user/1000/adder");
///     for (;;) {
///         const muster::multiprocessing::Connection client = listener.accept();
///         client.send(client.recv<int>() + client.recv<int>());
///     }
///
/// An address with a '/' in it is the path of a file, which goes with the listener; one that a
/// killed program has left behind is replaced. Any other address is a name of this user's, which the
/// system forgets with the process.
///
/// Only programs of the same user, and of root, are connected, because a connection trusts what it
/// receives to be no attack. Anybody else's attempt is turned away and counted by `refused()`; it is
/// no error of `accept`, or others could end a program that serves.
///
/// Its connections hold some 200 KB that were not read yet.
///
/// A connection, and the listener too, can be an argument of tasks and processes, and go through
/// queues and pipes, as an end of a `Pipe()`. The system has whoever receives it get it from the
/// process that sent it: if that has ended by then, receiving throws `InvalidStateError`. It may
/// close its own before; the message keeps it open. A file goes when the process that made it closes
/// the listener, so that clients no longer find those that others have. What is sent over a
/// connection itself, such as a `Lock` or a connection, stays within a family of processes; keep it
/// until the receiver has it.
///
/// A copy is the same listener. It is closed when its last copy goes, in every process that has it.
/// In a copy of the process made by `fork` it and its connections are closed.
///
/// Thread safety: all members.
class Listener {
  public:
    /// At a name that nobody has.
    /// **Throws**: `std::system_error`.
    Listener()
        : state_{std::make_shared<detail::ListenerState>(detail::os::LocalAddress::unused())} {}

    /// **Throws**: `std::invalid_argument` for an address that is empty, has a NUL or is too long:
    /// a path may have 107 bytes, a name some 90. `std::system_error`: with `EADDRINUSE` when
    /// somebody listens there already, or there is a file that is no socket.
    explicit Listener(std::string address)
        : state_{std::make_shared<detail::ListenerState>(
              detail::os::LocalAddress(std::move(address)))} {}

    /// For `Client`.
    [[nodiscard]] const std::string& address() const noexcept { return state_->address(); }

    /// The connection to the next client. **Blocks** until there is one.
    ///
    /// **Throws**: `InvalidStateError` when the listener is closed, also meanwhile;
    /// `std::system_error`, as when there are too many descriptors: the client waits then.
    [[nodiscard]] Connection accept() const { return *state_->accept(std::nullopt); }

    /// The same for at most `timeout`; zero or less only looks. Empty when the time is up.
    template <typename Rep, typename Period>
    [[nodiscard]] std::optional<Connection> accept_for(
        std::chrono::duration<Rep, Period> timeout) const {
        return state_->accept(detail::deadline_after(timeout));
    }

    /// How many attempts of other users were turned away.
    [[nodiscard]] std::size_t refused() const noexcept { return state_->refused(); }

    /// Gives the address up. Who waits in `accept` is told by an `InvalidStateError`, and clients
    /// that were not accepted by an `EndOfFile`, unless another process has the listener as well:
    /// that accepts them. Does nothing the second time.
    void close() const noexcept { state_->close(); }
    [[nodiscard]] bool closed() const noexcept { return state_->closed(); }

    /// A descriptor that is readable when somebody wants to connect: for `poll`. It is open until
    /// the listener is closed.
    ///
    /// **Throws**: `InvalidStateError` when it is closed.
    [[nodiscard]] int native_handle() const { return state_->native_handle(); }

    // To move it is to copy it, so that none becomes empty.
    Listener(const Listener&) noexcept = default;
    Listener& operator=(const Listener&) noexcept = default;
    ~Listener() = default;

  private:
    friend class muster::Access;
    explicit Listener(Access::Unread) {}
    template <typename Archive>
    void save(Archive& ar) const {
        const detail::ChannelName name = state_->name();
        ar(name.address, address());
        ar.keep(name.hold);
    }
    template <typename Archive>
    void load(Archive& ar) {
        std::string handed_out_at, its_own;
        ar(handed_out_at, its_own);
        (void)Archive::make_valid("a listener", [&] { return detail::os::LocalAddress(its_own); });
        state_ = std::make_shared<detail::ListenerState>(
            std::move(its_own), detail::SocketBroker::fetch(handed_out_at, "listener"));
    }

    std::shared_ptr<detail::ListenerState> state_;
};

static_assert(Serializable<Listener>);

/// A connection to a program that has a `Listener`.
///
///     const muster::multiprocessing::Client adder("/run/user/1000/adder");
///     adder.send(1);
///     adder.send(2);
///     assert(adder.recv<int>() == 3);
class Client : public Connection {
  public:
    /// Connects to who listens at the address. **Blocks** while many others wait to be accepted.
    ///
    /// **Throws**: `std::system_error`: with `ECONNREFUSED` or `ENOENT` when nobody listens there,
    /// with `EACCES` when another user does. `std::invalid_argument` as `Listener`.
    explicit Client(const std::string& address) : Connection(detail::connect_channel(address)) {}

    /// The same, but waits for at most `timeout` until somebody listens.
    ///
    /// **Throws**: `TimeoutError` when the time is up, instead of `ECONNREFUSED` and `ENOENT`.
    template <typename Rep, typename Period>
    Client(const std::string& address, std::chrono::duration<Rep, Period> timeout)
        : Connection(detail::connect_channel(address, detail::deadline_after(timeout))) {}

  private:
    friend class muster::Access;
    explicit Client(Access::Unread unread) : Connection(unread) {}
};

static_assert(Serializable<Client>);

}  // namespace muster::multiprocessing
