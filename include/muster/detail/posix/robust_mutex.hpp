// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>

#include <muster/detail/deadline.hpp>
#include <muster/detail/posix/syscall.hpp>

namespace muster::detail::posix {

/// What an attempt to lock came to.
enum class Locked : std::uint8_t {
    yes,
    after_death,  ///< It is held now; who held it before died.
    no,           ///< Another thread holds it, or did until the deadline.
    by_caller     ///< The calling thread holds it already.
};

/// A mutex in shared memory whose next owner learns that the one before died with it.
///
/// Lies in memory that processes share, at any address; nothing is to be destroyed.
/// Thread safety: all members, for threads of all processes that map it.
class RobustMutex {
  public:
    /// Throws: `std::system_error`.
    RobustMutex() {
        ::pthread_mutexattr_t attributes;
        check_error(::pthread_mutexattr_init(&attributes), "pthread_mutexattr_init");
        (void)::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        (void)::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        // Its owner's second lock, and others' unlock, are errors instead of a hang.
        (void)::pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
        const int error = ::pthread_mutex_init(&mutex_, &attributes);
        (void)::pthread_mutexattr_destroy(&attributes);
        check_error(error, "pthread_mutex_init");
    }
    RobustMutex(const RobustMutex&) = delete;
    RobustMutex& operator=(const RobustMutex&) = delete;

    /// Blocks: until it is free, at most until the deadline.
    /// Throws: `std::system_error`.
    Locked lock(const Deadline& deadline = std::nullopt) {
        // Who is killed just after it was woken, while a third one locks the mutex in passing, takes
        // the note along that others sleep, and nobody would wake them. So nobody sleeps for long.
        constexpr Clock::duration longest = std::chrono::seconds(1);
        for (Clock::duration nap = longest / 50;; nap = std::min(2 * nap, longest)) {
            const int error = ::pthread_mutex_trylock(&mutex_);
            if (error != EBUSY || expired(deadline)) return result(error);
            const int waited = lock_until(*earlier(Clock::now() + nap, deadline));
            if (waited != ETIMEDOUT) return result(waited);
        }
    }
    Locked try_lock() { return result(::pthread_mutex_trylock(&mutex_)); }

    /// False if the calling thread does not hold it.
    bool unlock() noexcept { return ::pthread_mutex_unlock(&mutex_) == 0; }

  private:
    Locked result(int error) {
        switch (error) {
            case 0:
                return Locked::yes;
            case EOWNERDEAD:
                (void)::pthread_mutex_consistent(&mutex_);
                return Locked::after_death;
            case EBUSY:
            case ETIMEDOUT:
                return Locked::no;
            case EDEADLK:
                return Locked::by_caller;
            default:
                throw_error(error, "pthread_mutex_lock");
        }
    }

    int lock_until(Clock::time_point deadline) noexcept {
        // The function that takes the steady clock's time is not in every C library.
        for (;;) {
            const auto left = deadline - Clock::now();
            ::timespec until{};
            ::clock_gettime(CLOCK_REALTIME, &until);
            const auto wake = std::chrono::seconds(until.tv_sec) +
                              std::chrono::nanoseconds(until.tv_nsec) +
                              std::max<Clock::duration>(left, Clock::duration::zero());
            const auto seconds = std::chrono::floor<std::chrono::seconds>(wake);
            until.tv_sec = static_cast<decltype(until.tv_sec)>(seconds.count());
            until.tv_nsec = static_cast<decltype(until.tv_nsec)>(
                std::chrono::nanoseconds(wake - seconds).count());
            const int error = ::pthread_mutex_timedlock(&mutex_, &until);
            // The wall clock may have been set meanwhile.
            if (error != ETIMEDOUT || Clock::now() >= deadline) return error;
        }
    }

    ::pthread_mutex_t mutex_;
};

}  // namespace muster::detail::posix
