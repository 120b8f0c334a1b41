// SPDX-License-Identifier: MIT
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdint>

#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/syscall.hpp>

namespace muster::detail::posix {

/// As long as it exists, forks by other threads wait.
///
/// For what takes a lock of the C library that a copy of the process does not get free: it would
/// have it for ever, and hang when it needs it. One such is that of `atexit`, and `exit` needs it.
///
///     const os::NoForks during_registration;
///     std::atexit(&handler);
///
/// A fork that has begun before the first of all is not kept out. Each shared library may have its own
/// copy of this, and then a lock of its own. Thread safety: all members.
class NoForks {
  public:
    /// Waits while a fork goes on; but not for ever, for that may itself wait, in a handler of the
    /// application's, for what the caller holds. **Throws**: `std::system_error`.
    NoForks() : held_{lock(std::chrono::milliseconds(100))} {
        if (!held_ || registered_) return;
        const int error = MUSTER_SYSCALL(pthread_atfork)(&begin_fork, &end, nullptr);
        if (error == 0) {
            registered_ = true;
            return;
        }
        end();
        check_error(error, "pthread_atfork");
    }
    NoForks(const NoForks&) = delete;
    NoForks& operator=(const NoForks&) = delete;
    ~NoForks() {
        if (held_) end();
    }

  private:
    /// False when the time is up.
    static bool lock(std::chrono::nanoseconds patience) {
        const std::uint64_t own = fork_generation();
        const auto limit = std::chrono::steady_clock::now() + patience;
        for (;;) {
            std::uint64_t holder = 0;
            if (holder_.compare_exchange_strong(holder, own, std::memory_order_acquire))
                return true;
            // Held when this copy was made: by a thread that it does not have.
            if (holder != own &&
                holder_.compare_exchange_strong(holder, own, std::memory_order_acquire))
                return true;
            if (std::chrono::steady_clock::now() > limit) return false;
            MUSTER_SYSCALL(sched_yield)();
        }
    }
    static void begin_fork() noexcept {
        while (!lock(std::chrono::hours(1))) continue;
    }
    static void end() noexcept { holder_.store(0, std::memory_order_release); }

    static constinit inline std::atomic<std::uint64_t> holder_{0};  // The generation of who has it.
    static constinit inline bool registered_ = false;               // Guarded by that.

    const bool held_;
};

}  // namespace muster::detail::posix
