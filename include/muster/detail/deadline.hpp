// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

namespace muster::detail {

using Clock = std::chrono::steady_clock;

/// A moment of the steady clock, or no limit.
using Deadline = std::optional<Clock::time_point>;

/// The moment `timeout` from now. A time too long to be represented is no limit.
template <typename Rep, typename Period>
Deadline deadline_after(std::chrono::duration<Rep, Period> timeout) {
    // Compared as floating seconds: converting hours::max() to nanoseconds first would overflow.
    using Seconds = std::chrono::duration<double>;
    const Clock::time_point now = Clock::now();
    if (Seconds(timeout) >= Seconds(Clock::time_point::max() - now) / 2) return std::nullopt;
    if (timeout <= timeout.zero()) return now;
    return now + std::chrono::ceil<Clock::duration>(timeout);
}

/// The steady clock's moment for a time point of any clock.
template <typename OtherClock, typename Duration>
Deadline deadline_at(std::chrono::time_point<OtherClock, Duration> when) {
    return deadline_after(when - OtherClock::now());
}

inline bool expired(const Deadline& deadline) { return deadline && *deadline <= Clock::now(); }

/// The earlier of two.
inline Deadline earlier(const Deadline& one, const Deadline& other) {
    if (!one) return other;
    return other && *other < *one ? other : one;
}

}  // namespace muster::detail
