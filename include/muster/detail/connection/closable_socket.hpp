// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <muster/detail/connection/channel.hpp>
#include <muster/detail/connection/socket_broker.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// This process's hold on a socket, which one thread can close while others use it. Other processes
/// may hold the same socket. A copy of this process, made by `fork`, does not.
///
/// Thread safety: all members.
class ClosableSocket {
    struct Open {
        SharedFd socket;
        std::optional<os::Bell> closing;     // Made when somebody first waits.
        std::optional<os::PrivateFd> watch;  // And this, when somebody wants to wait himself.
        std::optional<ChannelName> name;
    };

  public:
    /// Keeps the descriptor as long as a call goes on.
    using Use = SharedFd;

    /// `what` it is, in errors and to who receives it.
    ClosableSocket(os::Fd fd, const char* what) : what_{what}, open_{std::make_shared<Open>()} {
        open_->socket = std::make_shared<const os::PrivateFd>(std::move(fd));
    }
    ClosableSocket(const ClosableSocket&) = delete;
    ClosableSocket& operator=(const ClosableSocket&) = delete;
    ~ClosableSocket() { close(); }

    /// **Throws**: `InvalidStateError` when it is closed.
    [[nodiscard]] Use use() const {
        return with_open([](const std::shared_ptr<Open>& open) { return open->socket; });
    }
    [[nodiscard]] bool closed() const noexcept {
        if (!is_own()) return true;
        const std::lock_guard held(mutex_);
        return !open_;
    }

    /// **Blocks** until `fd`, which is the socket or what came through it, is ready or has ended;
    /// false when the deadline passed first.
    /// **Throws**: `InvalidStateError` when the socket is closed, also meanwhile; `std::system_error`.
    bool wait(int fd, os::Direction direction, const Deadline& deadline) const {
        const auto open = with_open([](const std::shared_ptr<Open>& each) {
            if (!each->closing) each->closing.emplace();
            return each;
        });
        const bool ready = os::wait_for_socket(fd, direction, open->closing->fd(), deadline);
        (void)use();
        return ready;
    }

    /// A descriptor that is readable when the socket is, or is closed here.
    /// **Throws**: as `wait`.
    [[nodiscard]] int native_handle() const {
        return with_open([](const std::shared_ptr<Open>& open) {
            if (!open->closing) open->closing.emplace();
            if (!open->watch)
                open->watch = os::watch_socket(open->socket->get(), open->closing->fd());
            return open->watch->get();
        });
    }

    /// **Throws**: `InvalidStateError` when it is closed; `std::bad_alloc`, `std::system_error`.
    [[nodiscard]] ChannelName name() const {
        return with_open([this](const std::shared_ptr<Open>& open) {
            if (!open->name) open->name = SocketBroker::own().park(open->socket, what_);
            return *open->name;
        });
    }

    /// Wakes those who use it here. The descriptor is closed when the last of them has ended.
    void close() noexcept {
        if (!is_own()) return;
        std::shared_ptr<Open> last;
        {
            const std::lock_guard held(mutex_);
            last.swap(open_);
        }
        if (last && last->closing) last->closing->ring();
    }

  private:
    template <typename Action>
    std::invoke_result_t<Action, const std::shared_ptr<Open>&> with_open(Action action) const {
        // In a copy the mutex may be held by a thread that is not there.
        if (!is_own())
            throw InvalidStateError("muster: this " + std::string(what_) +
                                    " belongs to the process that this one is a copy of");
        const std::lock_guard held(mutex_);
        if (!open_) throw InvalidStateError("muster: this " + std::string(what_) + " is closed");
        return action(open_);
    }
    [[nodiscard]] bool is_own() const noexcept { return generation_ == os::fork_generation(); }

    const char* what_;
    const std::uint64_t generation_ = os::fork_generation();
    mutable std::mutex mutex_;
    std::shared_ptr<Open> open_;
};

}  // namespace muster::detail
