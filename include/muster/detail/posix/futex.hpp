// SPDX-License-Identifier: MIT
#pragma once

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/posix/syscall.hpp>

/// Sleeping on a 32-bit word. `std::atomic::wait` is not used: it has no time limit, does not work
/// between processes, and libstdc++'s timed waits poll with sleeps of up to 64 ms.
namespace muster::detail::posix {

/// Who may sleep on a word: threads of one process, or of all that map its memory.
enum class Sharing { threads, processes };

/// Why a sleep ended.
enum class Awake {
    woken,     ///< By a wake(), which has counted this one.
    for_none,  ///< The word had another value, or for no reason.
    too_late   ///< The deadline has passed.
};

/// Sleeps while `word` holds `expected`, until it is woken or the deadline has passed.
///
/// May return early for no reason, so callers look at the word again.
inline Awake sleep_counted(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                           const Deadline& deadline = std::nullopt,
                           Sharing sharing = Sharing::threads) noexcept {
    timespec until{};
    if (deadline) {
        // The steady clock is CLOCK_MONOTONIC, which FUTEX_WAIT_BITSET counts absolutely.
        const auto since_boot = deadline->time_since_epoch();
        const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
        until.tv_sec = static_cast<decltype(until.tv_sec)>(seconds.count());
        until.tv_nsec = static_cast<decltype(until.tv_nsec)>(
            std::chrono::nanoseconds(since_boot - seconds).count());
    }
    const int operation =
        FUTEX_WAIT_BITSET | (sharing == Sharing::threads ? FUTEX_PRIVATE_FLAG : 0);
    const long result =
        MUSTER_SYSCALL(syscall)(SYS_futex, &word, operation, expected, deadline ? &until : nullptr,
                                nullptr, FUTEX_BITSET_MATCH_ANY);
    if (result == 0) return Awake::woken;
    return errno == ETIMEDOUT ? Awake::too_late : Awake::for_none;
}

/// The same. Returns false only when the deadline has passed.
inline bool sleep_on(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                     const Deadline& deadline = std::nullopt,
                     Sharing sharing = Sharing::threads) noexcept {
    return sleep_counted(word, expected, deadline, sharing) != Awake::too_late;
}

/// Returns how many it woke.
inline int wake(const std::atomic<std::uint32_t>& word, int count, Sharing sharing) noexcept {
    const int operation = FUTEX_WAKE | (sharing == Sharing::threads ? FUTEX_PRIVATE_FLAG : 0);
    const long woken =
        MUSTER_SYSCALL(syscall)(SYS_futex, &word, operation, count, nullptr, nullptr, 0);
    return woken > 0 ? static_cast<int>(woken) : 0;
}

/// Wakes one of those who sleep on `word`.
inline void wake_one(const std::atomic<std::uint32_t>& word,
                     Sharing sharing = Sharing::threads) noexcept {
    (void)wake(word, 1, sharing);
}

/// Wakes all who sleep on `word`.
inline void wake_all(const std::atomic<std::uint32_t>& word,
                     Sharing sharing = Sharing::threads) noexcept {
    (void)wake(word, INT_MAX, sharing);
}

/// Lets another thread of this core run.
inline void yield() noexcept { (void)::sched_yield(); }

}  // namespace muster::detail::posix
