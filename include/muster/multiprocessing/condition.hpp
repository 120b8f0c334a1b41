// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/shared_condition.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/errors.hpp>
#include <muster/multiprocessing/lock.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// Where threads that hold a lock wait for a change that others make under the same lock.
///
///     std::unique_lock held(lock);
///     changed.wait(held, [&] { return inbox_size.get() != 0; });
///
/// `lock` is a `Lock`, an `RLock`, or a `std::unique_lock` of one, and held by the calling thread; it
/// is released while the thread waits, an `RLock` wholly, and held as before when the call returns
/// or throws; but for `AbandonedLock`, which says that it is not held. A copy is the same condition,
/// in other processes too; who dies while waiting disturbs nobody.
///
/// Who waits learns that the holder of the lock has died when it is notified, or its time is up: so
/// who recovers the lock notifies all.
///
/// Thread safety: all members.
class Condition {
  public:
    /// **Throws**: `std::system_error`, `std::bad_alloc`.
    Condition() : handle_{std::in_place, 0} {}

    /// Waits for a notification.
    ///
    /// **Throws**: `InvalidStateError` when the lock is not held. `AbandonedLock` when who held it
    /// meanwhile has died.
    template <ConditionLock L>
    void wait(L& lock) const {
        (void)wait_until(lock, std::nullopt);
    }
    /// Waits until `ready()`, which is called with the lock held. **Throws** what it throws, too.
    template <ConditionLock L, std::predicate Ready>
    void wait(L& lock, Ready ready) const {
        (void)wait_until(lock, std::nullopt, ready);
    }

    /// As above, for at most `timeout`. False when the time is up.
    template <ConditionLock L, typename Rep, typename Period>
    bool wait_for(L& lock, std::chrono::duration<Rep, Period> timeout) const {
        return wait_until(lock, detail::deadline_after(timeout));
    }
    /// As above, for at most `timeout`. Returns what `ready()` says at the end.
    template <ConditionLock L, typename Rep, typename Period, std::predicate Ready>
    bool wait_for(L& lock, std::chrono::duration<Rep, Period> timeout, Ready ready) const {
        return wait_until(lock, detail::deadline_after(timeout), ready);
    }

    /// Wakes the thread that has waited longest, if there is one. Needs no lock.
    void notify_one() const { notify(1); }
    /// Wakes all who wait now. Needs no lock.
    void notify_all() const { notify(~std::size_t{0}); }
    /// Wakes as many as there are, but at most `count`. Needs no lock.
    void notify(std::size_t count) const { handle_->notify(handle_.memory(), count); }

  private:
    friend class muster::Access;
    explicit Condition(Access::Unread) {}
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(handle_);
    }

    template <detail::BlockKind kind>
    static const auto& handle_of(const detail::SharedLockHandle<kind>& lock) {
        return lock;
    }
    template <typename L>
    static const L& handle_of(const std::unique_lock<L>& guard) {
        if (!guard.owns_lock())
            throw InvalidStateError(
                "muster: Condition::wait() needs a std::unique_lock that is locked");
        return *guard.mutex();
    }

    template <typename L>
    bool wait_until(L& held, const detail::Deadline& deadline) const {
        const auto& lock = handle_of(held);
        detail::SharedLock& state = lock.held_state("Condition::wait()");
        // Counted while it holds the lock: nobody can notify before it waits.
        detail::Block& waiter = handle_->enter(handle_.memory(), handle_.own().target.load());
        const std::uint32_t depth = state.depth.exchange(1);  // Held however often: it is free now.
        (void)state.unlock();
        bool notified = false;
        try {
            notified = handle_->wait(handle_.memory(), waiter, deadline);
        } catch (...) {
            relock(held, lock, depth);
            throw;
        }
        relock(held, lock, depth);
        return notified;
    }
    template <typename L, typename Ready>
    bool wait_until(L& held, const detail::Deadline& deadline, Ready& ready) const {
        (void)handle_of(held).held_state("Condition::wait()");
        while (!ready())
            if (!wait_until(held, deadline)) return static_cast<bool>(ready());
        return true;
    }

    template <typename L, typename Handle>
    static void relock(L& held, const Handle& lock, std::uint32_t depth) {
        try {
            lock.lock();
        } catch (...) {
            forget(held);  // It must not unlock what it does not hold.
            throw;
        }
        lock.held_state("Condition::wait()").depth.store(depth);
    }
    template <detail::BlockKind kind>
    static void forget(const detail::SharedLockHandle<kind>&) noexcept {}
    template <typename L>
    static void forget(std::unique_lock<L>& guard) noexcept {
        (void)guard.release();
    }

    detail::SharedHandle<detail::SharedCondition, detail::BlockKind::condition> handle_;
};

static_assert(Serializable<Condition>);

}  // namespace muster::multiprocessing
