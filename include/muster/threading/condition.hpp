// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <mutex>
#include <type_traits>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/detail/threading/waiters.hpp>
#include <muster/errors.hpp>
#include <muster/threading/lock.hpp>

namespace muster {
namespace detail {

/// The mutex of a lock that a condition is to wait with. **Throws**: `InvalidStateError` when the
/// calling thread does not hold it.
inline OwnedMutex& held_mutex(const LockHandle& lock) {
    OwnedMutex& mutex = mutex_of(lock);
    mutex.throw_unless_held("Condition::wait()");
    return mutex;
}
template <typename Lock>
OwnedMutex& held_mutex(const std::unique_lock<Lock>& guard) {
    if (!guard.owns_lock())
        throw InvalidStateError(
            "muster: Condition::wait() needs a std::unique_lock that is locked");
    return held_mutex(*guard.mutex());
}

struct ConditionState {
    /// Requires: this thread holds the lock.
    bool wait(OwnedMutex& lock, const Deadline& deadline) {
        bool notified = false;
        std::size_t depth = 0;
        {
            std::unique_lock held(mutex);
            depth = lock.release_wholly();  // Nobody can notify before this thread waits.
            notified = waiters.wait(held, deadline) != 0;
        }
        lock.restore(depth);
        return notified;
    }

    template <typename Predicate>
    bool wait_until(OwnedMutex& lock, const Deadline& deadline, Predicate& ready) {
        while (!ready())
            if (!wait(lock, deadline)) return static_cast<bool>(ready());
        return true;
    }

    std::mutex mutex;
    Waiters waiters;
};

}  // namespace detail

namespace threading {

/// Where threads that hold a lock wait for a change that others make under the same lock.
///
///     std::unique_lock held(lock);
///     changed.wait(held, [&] { return !inbox.empty(); });
///
/// `lock` is a `Lock`, an `RLock`, or a `std::unique_lock` of one, and held by the calling thread.
/// It is released while the thread waits, an `RLock` wholly, and held as before when the call
/// returns or throws. Those who wait are woken in the order in which they came, and never without a
/// notification. A copy is the same condition.
///
/// Thread safety: all members.
class Condition {
  public:
    Condition() : state_{std::in_place} {}

    /// Waits for a notification. **Throws**: `InvalidStateError` when the lock is not held.
    template <ConditionLock L>
    void wait(L& lock) const {
        state_->wait(detail::held_mutex(lock), std::nullopt);
    }
    /// Waits until `ready()`, which is called with the lock held. **Throws** what it throws, too.
    template <ConditionLock L, std::predicate Ready>
    void wait(L& lock, Ready ready) const {
        state_->wait_until(detail::held_mutex(lock), std::nullopt, ready);
    }

    /// As above, for at most `timeout`. False when the time is up.
    template <ConditionLock L, typename Rep, typename Period>
    bool wait_for(L& lock, std::chrono::duration<Rep, Period> timeout) const {
        return state_->wait(detail::held_mutex(lock), detail::deadline_after(timeout));
    }
    /// As above, for at most `timeout`. Returns what `ready()` says at the end.
    template <ConditionLock L, typename Rep, typename Period, std::predicate Ready>
    bool wait_for(L& lock, std::chrono::duration<Rep, Period> timeout, Ready ready) const {
        return state_->wait_until(detail::held_mutex(lock), detail::deadline_after(timeout), ready);
    }

    /// Wakes the thread that has waited longest, if there is one. Needs no lock.
    void notify_one() const { notify(1); }
    /// Wakes all who wait now. Needs no lock.
    void notify_all() const { notify(detail::Waiters::all); }
    /// Wakes as many as there are, but at most `count`. Needs no lock.
    void notify(std::size_t count) const {
        detail::Chosen chosen;
        const std::lock_guard held(state_->mutex);
        state_->waiters.choose(chosen, count);
    }

  private:
    detail::Handle<detail::ConditionState> state_;
};

}  // namespace threading
}  // namespace muster
