// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <muster/detail/connection/channel.hpp>
#include <muster/detail/connection/pipe_channel.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/per_process.hpp>
#include <muster/detail/serialization/decoder.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

using SharedFd = std::shared_ptr<const os::PrivateFd>;

/// Hands sockets of this process out to others of the family: the system gives a descriptor only by
/// the hands of a process that has it.
///
/// A parked socket has an address of its own, at which a thread gives it to everyone of this user who
/// connects. Its name refers to one end of a pipe in the family's memory, and the broker has the other
/// one: so it learns when no handle here and no message anywhere speaks of the socket any more, also
/// when one was dropped unread or died with a process, and lets go of it.
///
/// Thread safety: all members. A copy of the process, made by `fork`, has a broker of its own.
class SocketBroker {
  public:
    static SocketBroker& own() { return per_process<SocketBroker>(); }

    /// `what` it is, for `fetch`. **Throws**: `std::system_error`, `std::bad_alloc`.
    [[nodiscard]] ChannelName park(SharedFd socket, std::string_view what) {
        auto [kept, given] = make_pipe_ends();
        const os::LocalAddress address(prefix(what) + os::LocalAddress::unused().text());
        std::list<Parked> made;
        made.emplace_back(std::move(socket), os::PrivateFd(os::listen_at(address).socket), kept);
        ChannelName name{address.text(), given};
        const std::lock_guard held(mutex_);
        if (!serving_) std::thread([this] { serve(); }).detach();
        serving_ = true;
        fresh_.splice(fresh_.end(), made);
        changed_.ring();
        return name;
    }

    /// The socket that another process has parked. **Blocks** until that hands it out, which it does
    /// at once unless it is stopped.
    /// **Throws**: `InvalidStateError` when it has ended, or let go of it; `SerializationError` when
    /// no such socket is parked at such an address; `std::system_error`.
    [[nodiscard]] static os::Fd fetch(const std::string& address, std::string_view what) {
        // Who listens elsewhere may never answer.
        if (!is_parking(address, what)) Decoder::fail(what, "none is handed out at this address");
        os::Fd socket;
        const os::ConnectAttempt attempt = os::try_connect(os::LocalAddress(address));
        if (attempt.socket) {
            std::array<std::byte, 1> sign{};
            while (!os::try_receive(attempt.socket.get(), sign, socket))
                (void)os::wait_for_socket(attempt.socket.get(), os::Direction::read, -1,
                                          std::nullopt);
        }
        if (!socket)
            throw InvalidStateError(
                "muster: this connection or listener is gone: the process that sent it has ended, "
                "or closed it, before this one received it");
        return socket;
    }

  private:
    static constexpr std::size_t unused_digits = 32;  // Of `os::LocalAddress::unused`.

    static std::string prefix(std::string_view what) { return std::string(what) + '.'; }
    static bool is_parking(std::string_view address, std::string_view what) {
        const std::string begin = prefix(what);
        return address.starts_with(begin) && address.size() == begin.size() + unused_digits &&
               address.find_first_not_of("0123456789abcdef", begin.size()) == address.npos;
    }

    struct Parked {
        Parked(SharedFd its_socket, os::PrivateFd its_listener,
               std::shared_ptr<SharedReference> end)
            : socket{std::move(its_socket)},
              listener{std::move(its_listener)},
              names{std::move(end)},
              names_bell{names.native_handle()} {}

        const SharedFd socket;
        const os::PrivateFd listener;
        PipeChannel names;
        const int names_bell;
    };

    [[noreturn]] void serve() noexcept {
        os::set_thread_name("muster-sockets");
        os::leave_signals_to_others();
        std::list<Parked> parked;
        os::Watch watch;
        for (;;) {
            {
                const std::lock_guard held(mutex_);
                changed_.clear();
                parked.splice(parked.end(), fresh_);
            }
            watch.clear();
            std::size_t place = watch.add(changed_.fd());
            for (const Parked& each : parked) {
                (void)watch.add(each.listener.get());
                (void)watch.add(each.names_bell);
            }
            watch.wait(std::nullopt);
            parked.remove_if([&](const Parked& each) {
                if (watch.ready(++place)) hand_out(each);
                return watch.ready(++place);
            });
        }
    }

    static void hand_out(const Parked& parked) {
        try {
            const os::Fd taker = os::accept_local(parked.listener.get());
            if (!taker || !os::is_trusted_peer(taker.get())) return;
            const std::array<std::byte, 1> sign{};
            (void)os::try_send(taker.get(), sign, parked.socket->get());
        } catch (const std::system_error&) {
            // There are too many descriptors. Who is not accepted yet waits; others are told.
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }

    std::mutex mutex_;
    std::list<Parked> fresh_;  // That the thread does not know yet.
    bool serving_ = false;
    os::Bell changed_;
};

}  // namespace muster::detail
