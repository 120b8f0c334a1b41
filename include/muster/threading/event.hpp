// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <mutex>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/detail/threading/waiters.hpp>

namespace muster {
namespace detail {

struct EventState {
    bool wait(const Deadline& deadline) {
        std::unique_lock held(mutex);
        return is_set || (!expired(deadline) && waiters.wait(held, deadline) != 0);
    }

    std::mutex mutex;
    bool is_set = false;
    Waiters waiters;
};

}  // namespace detail

namespace threading {

/// A flag that threads can wait for.
///
///     muster::threading::Event ready;
///     muster::threading::Thread worker{[ready] { ready.wait(); }};
///     worker.start();
///     ready.set();  // Also through a copy, which is the same event.
///
/// Thread safety: all members.
class Event {
  public:
    Event() : state_{std::in_place} {}

    /// Sets it, and wakes all who wait, even if it is cleared right afterwards.
    void set() const {
        detail::Chosen chosen;
        const std::lock_guard held(state_->mutex);
        state_->is_set = true;
        state_->waiters.choose(chosen, detail::Waiters::all);
    }

    /// Makes later calls of `wait` wait again.
    void clear() const {
        const std::lock_guard held(state_->mutex);
        state_->is_set = false;
    }

    [[nodiscard]] bool is_set() const {
        const std::lock_guard held(state_->mutex);
        return state_->is_set;
    }

    /// **Blocks** until it is set.
    void wait() const { state_->wait(std::nullopt); }

    /// The same for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
        return state_->wait(detail::deadline_after(timeout));
    }

  private:
    detail::Handle<detail::EventState> state_;
};

}  // namespace threading
}  // namespace muster
