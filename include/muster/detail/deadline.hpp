// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

namespace muster::detail {

using Clock = std::chrono::steady_clock;

/// A moment of the steady clock, or no limit.
using Deadline = std::optional<Clock::time_point>;

/// The deadline of who does not wait at all.
inline constexpr Deadline at_once{(Clock::time_point::min)()};

/// Times are compared as these: converting hours::max() to nanoseconds would overflow.
using FloatingSeconds = std::chrono::duration<double>;

/// From here on a time is too long to be represented everywhere, and no limit: a century.
inline constexpr FloatingSeconds endless{100.0 * 365 * 24 * 60 * 60};

/// The moment `timeout` after `from`. A time too long to be represented is no limit; one that is not
/// a number is none at all.
template <typename Rep, typename Period>
Deadline later_by(Clock::time_point from, std::chrono::duration<Rep, Period> timeout) {
    if (FloatingSeconds(timeout) >= endless) return std::nullopt;
    if (!(timeout > timeout.zero())) return from;
    return from + std::chrono::ceil<Clock::duration>(timeout);
}

/// The same from now on.
template <typename Rep, typename Period>
Deadline deadline_after(std::chrono::duration<Rep, Period> timeout) {
    return later_by(Clock::now(), timeout);
}

/// The same for a timeout that may be left out, and is no limit then.
template <typename Rep, typename Period>
Deadline deadline_after(const std::optional<std::chrono::duration<Rep, Period>>& timeout) {
    return timeout ? deadline_after(*timeout) : std::nullopt;
}

/// The steady clock's moment for a time point of any clock.
template <typename OtherClock, typename Duration>
Deadline deadline_at(std::chrono::time_point<OtherClock, Duration> when) {
    const auto now = OtherClock::now();
    const FloatingSeconds left =
        FloatingSeconds(when.time_since_epoch()) - FloatingSeconds(now.time_since_epoch());
    if (left >= endless) return std::nullopt;
    if (!(left > -endless)) return Clock::now();
    return deadline_after(when - now);
}

inline bool expired(Deadline deadline) { return deadline && *deadline <= Clock::now(); }

/// The earlier of two.
inline Deadline earlier(const Deadline& one, const Deadline& other) {
    if (!one) return other;
    return other && *other < *one ? other : one;
}

}  // namespace muster::detail
