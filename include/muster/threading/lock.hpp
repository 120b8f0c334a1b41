// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <mutex>
#include <type_traits>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/detail/threading/owned_mutex.hpp>

namespace muster {
namespace detail {

/// What `Lock` and `RLock` can both do. Meets TimedLockable.
class LockHandle {
  public:
    /// Waits until the lock is free, and holds it.
    ///
    /// **Throws**: `InvalidStateError` when the calling thread holds a `Lock` already: it would
    /// wait for ever.
    void lock() const { mutex_->lock(std::nullopt); }

    /// Holds the lock if that is possible at once.
    [[nodiscard]] bool try_lock() const { return mutex_->try_lock(); }

    /// As `lock`, for at most `timeout`; zero or less only tries. False when the time is up.
    template <typename Rep, typename Period>
    [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) const {
        return mutex_->lock(deadline_after(timeout));
    }
    /// The same until a moment of any clock.
    template <typename Clock, typename Duration>
    [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> when) const {
        return mutex_->lock(deadline_at(when));
    }

    /// Lets go of it; of an `RLock` once.
    ///
    /// **Throws**: `InvalidStateError` when the calling thread does not hold it.
    void unlock() const { mutex_->unlock(); }

    /// As `lock`. With the locks of `muster::multiprocessing` it also holds a lock whose holder
    /// died; threads do not die alone.
    void recover() const { lock(); }

    /// Whether some thread holds it at the moment.
    [[nodiscard]] bool locked() const { return mutex_->held(); }

  protected:
    explicit LockHandle(OwnedMutex::Kind kind) : mutex_{std::in_place, kind} {}

  private:
    friend OwnedMutex& mutex_of(const LockHandle& lock) noexcept;
    Handle<OwnedMutex> mutex_;
};

inline OwnedMutex& mutex_of(const LockHandle& lock) noexcept { return *lock.mutex_; }

}  // namespace detail

namespace threading {

/// A lock that one thread holds at a time: only that thread may unlock it.
///
///     muster::threading::Lock lock;
///     {
///         const std::scoped_lock held(lock);
///         ++shared_counter;
///     }
///
/// A copy is the same lock. Its calls are `lock`, `try_lock`, `try_lock_for`, `try_lock_until`,
/// `unlock`, `locked` and `recover`.
///
/// Thread safety: all members.
class Lock : public detail::LockHandle {
  public:
    Lock() : LockHandle(detail::OwnedMutex::Kind::plain) {}
};

/// A `Lock` that its holder may lock again; it is free when it was unlocked as often.
class RLock : public detail::LockHandle {
  public:
    RLock() : LockHandle(detail::OwnedMutex::Kind::recursive) {}
};

/// What a `Condition` can wait with: a `Lock`, an `RLock`, or a `std::unique_lock` of one.
template <typename T>
concept ConditionLock = detail::one_of<std::remove_cv_t<T>, Lock, RLock, std::unique_lock<Lock>,
                                       std::unique_lock<const Lock>, std::unique_lock<RLock>,
                                       std::unique_lock<const RLock>>;

}  // namespace threading
}  // namespace muster
