// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/named_object.hpp>
#include <muster/detail/family/shared_lock.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/errors.hpp>
#include <muster/serialization.hpp>

namespace muster {

namespace multiprocessing {
class Condition;
}

namespace detail {

/// What `Lock` and `RLock` can both do. Meets TimedLockable.
template <BlockKind kind>
class SharedLockHandle {
    using Wanted = SharedLock::Wanted;
    static constexpr bool recursive = kind == BlockKind::recursive_lock;

  public:
    /// Waits until the lock is free, and holds it.
    ///
    /// **Throws**: `AbandonedLock` when the process that held it, or the thread in it, has died: it is
    /// not held then. So it goes for everyone, until someone calls `recover`.
    /// `InvalidStateError` when the calling thread holds a `Lock` already: it would wait for ever.
    void lock() const { (void)take(std::nullopt, Wanted::ordinary); }

    /// Holds the lock if that is possible at once. **Throws**: `AbandonedLock`, as `lock`.
    [[nodiscard]] bool try_lock() const { return take(at_once, Wanted::ordinary); }

    /// As `lock`, for at most `timeout`; zero or less only tries. False when the time is up.
    template <typename Rep, typename Period>
    [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> timeout) const {
        return take_until(deadline_after(timeout));
    }
    /// The same until a moment of any clock.
    template <typename AnyClock, typename Duration>
    [[nodiscard]] bool try_lock_until(std::chrono::time_point<AnyClock, Duration> when) const {
        return take_until(deadline_at(when));
    }

    /// Lets go of it; of an `RLock` once.
    ///
    /// **Throws**: `InvalidStateError` when the calling thread does not hold it.
    void unlock() const {
        if (!handle_->unlock()) throw_not_held("unlock()", handle_.name());
    }

    /// Waits until the lock is free, or its holder dead, and holds it: now is the time to mend what it
    /// guards. `unlock` makes it an ordinary lock again.
    ///
    /// **Throws**: `InvalidStateError` as `lock`.
    void recover() const { (void)take(std::nullopt, Wanted::abandoned_too); }

    /// Whether some thread of any process holds it at the moment.
    [[nodiscard]] bool locked() const { return handle_->locked(); }

  protected:
    SharedLockHandle() : handle_{std::in_place, 0} {}
    explicit SharedLockHandle(const std::string& name) : handle_{name, 0} {}
    explicit SharedLockHandle(Access::Unread) {}

  private:
    friend class muster::Access;
    friend class multiprocessing::Condition;

    template <typename Archive>
    void save(Archive& ar) const {
        handle_.save(ar);
    }
    template <typename Archive>
    void load(Archive& ar) {
        handle_.load(ar, 0);
    }

    /// False when it was not to be had in time. **Throws**: `InvalidStateError` when it never would be.
    bool take(const Deadline& deadline, Wanted wanted) const {
        SharedLock& state = *handle_;
        const os::Locked got =
            state.lock(deadline, wanted, [this]() -> const std::string& { return handle_.name(); });
        if (got != os::Locked::by_caller) return got == os::Locked::yes;
        if (!recursive && !deadline) throw_held();
        if (!recursive) return false;
        state.depth.store(state.depth.load(std::memory_order_relaxed) + 1,
                          std::memory_order_relaxed);
        return true;
    }

    bool take_until(const Deadline& deadline) const {
        if (take(deadline, Wanted::ordinary)) return true;
        while (!expired(deadline)) {  // Its holder waits for itself.
            const std::atomic<std::uint32_t> never{0};
            (void)os::sleep_on(never, 0, deadline);
        }
        return false;
    }

    /// **Throws**: `InvalidStateError` when the calling thread does not hold it.
    SharedLock& held_state(const char* call) const {
        SharedLock& state = *handle_;
        if (!state.held_by_caller()) throw_not_held(call, handle_.name());
        return state;
    }

    [[noreturn]] static void throw_held() {
        throw InvalidStateError(
            "muster: lock() by the thread that holds this Lock already would never return; "
            "unlock() it first, or use an RLock");
    }
    [[noreturn]] static void throw_not_held(const char* call, const std::string& name) {
        throw InvalidStateError(std::string("muster: ") + call + " of " +
                                (name.empty() ? "a lock" : "the lock '" + name + "'") +
                                " that the calling thread does not hold: lock() it in the same "
                                "thread first");
    }

    NameableHandle<SharedLock, kind> handle_;
};

}  // namespace detail

namespace multiprocessing {

/// A lock that one thread of one process holds at a time: only that thread may unlock it.
///
///     muster::multiprocessing::Lock lock;
///     pool.submit([](muster::multiprocessing::Lock its, std::string line) {
///         const std::scoped_lock held(its);
///         append_to_file(line);
///     }, lock, "hello");
///
/// A copy is the same lock, in other processes too: pass it as an argument, or inside other values.
/// One with a name is the same in all programs that know the name:
///
///     muster::multiprocessing::Lock lock("weather");
///
/// | the lock     | lock(), try_lock()    | recover()           | unlock()                           |
/// |--------------|-----------------------|---------------------|------------------------------------|
/// | is free      | hold it               | holds it            | throws                             |
/// | is held      | wait, or return false | waits               | by its holder frees it             |
/// | is abandoned | throw `AbandonedLock` | holds it            | throws                             |
///
/// It is abandoned when the process that held it, or the thread in it, has died. Who waits sleeps, but
/// looks about once a second, more often at first: the one that was to be woken may have been killed
/// just then.
///
/// With a name it goes with the last handle of all programs, but not as long as it is abandoned:
/// whoever opens the name next is told. To another process it goes by its name. If the last handle
/// of a process goes while one of its threads holds it, it stays held until that process ends, or the
/// thread unlocks it through a new handle of that name.
///
/// Thread safety: all members.
/// Platform: a name is a user's own, and a file `/dev/shm/muster.<user id>.lock.<name>`. If the last
/// user is killed, it goes as that of a `SharedMemory` does, unless the lock is abandoned.
class Lock : public detail::SharedLockHandle<detail::BlockKind::lock> {
  public:
    /// **Throws**: `std::system_error`, `std::bad_alloc`.
    Lock() = default;
    /// The lock of this name, made if no program has it.
    ///
    /// **Throws**: `std::invalid_argument` for a name that is empty, has a '/' or zero byte, or more
    /// than 200 bytes. `InvalidStateError` when it is an `RLock`. `std::system_error`.
    explicit Lock(const std::string& name) : SharedLockHandle(name) {}

  private:
    friend class muster::Access;
    explicit Lock(Access::Unread unread) : SharedLockHandle(unread) {}
};

/// A `Lock` that its holder may lock again; it is free when it was unlocked as often.
class RLock : public detail::SharedLockHandle<detail::BlockKind::recursive_lock> {
  public:
    /// **Throws**: `std::system_error`, `std::bad_alloc`.
    RLock() = default;
    /// The lock of this name, as with `Lock`. **Throws**: `InvalidStateError` when it is a `Lock`.
    explicit RLock(const std::string& name) : SharedLockHandle(name) {}

  private:
    friend class muster::Access;
    explicit RLock(Access::Unread unread) : SharedLockHandle(unread) {}
};

/// What a `Condition` can wait with: a `Lock`, an `RLock`, or a `std::unique_lock` of one.
template <typename T>
concept ConditionLock = detail::one_of<std::remove_cv_t<T>, Lock, RLock, std::unique_lock<Lock>,
                                       std::unique_lock<const Lock>, std::unique_lock<RLock>,
                                       std::unique_lock<const RLock>>;

static_assert(Serializable<Lock> && Serializable<RLock>);

}  // namespace multiprocessing
}  // namespace muster
