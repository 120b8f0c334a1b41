// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/shared_event.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// A flag that threads of several processes can wait for.
///
///     muster::multiprocessing::Event ready;
///     auto task = pool.submit([](muster::multiprocessing::Event its) { its.wait(); }, ready);
///     ready.set();
///
/// A copy is the same event, in other processes too.
///
/// Thread safety: all members.
class Event {
  public:
    /// **Throws**: `std::system_error`, `std::bad_alloc`.
    Event() : handle_{std::in_place, 0} {}

    /// Sets it, and wakes all who wait, even if it is cleared right afterwards.
    void set() const { handle_->set(); }

    /// Makes later calls of `wait` wait again.
    void clear() const { handle_->clear(); }

    [[nodiscard]] bool is_set() const { return handle_->is_set(); }

    /// **Blocks** until it is set.
    void wait() const { (void)handle_->wait(std::nullopt); }

    /// The same for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
        return handle_->wait(detail::deadline_after(timeout));
    }

  private:
    friend class muster::Access;
    explicit Event(Access::Unread) {}
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(handle_);
    }

    detail::SharedHandle<detail::SharedEvent, detail::BlockKind::event> handle_;
};

static_assert(Serializable<Event>);

}  // namespace muster::multiprocessing
