// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <muster/detail/deadline.hpp>
#include <ratio>

namespace deadline_test {

using muster::detail::Clock;
using muster::detail::Deadline;
using muster::detail::deadline_after;
using muster::detail::deadline_at;
using muster::detail::earlier;
using muster::detail::expired;
using namespace std::chrono_literals;

namespace {

/// Whether `made()` lies `distance` after the moment of its making.
template <typename Make>
bool lies_ahead(Make made, Clock::duration distance) {
    const Clock::time_point before = Clock::now();
    const Deadline deadline = made();
    const Clock::time_point after = Clock::now();
    return deadline && *deadline >= before + distance && *deadline <= after + distance;
}

template <typename Make>
bool is_now(Make made) {
    return lies_ahead(made, 0ns) && expired(made());
}

using Doubles = std::chrono::duration<double>;
using SystemClock = std::chrono::system_clock;

}  // namespace

TEST_CASE("a deadline lies the time given after now, in any unit") {
    CHECK(lies_ahead([] { return deadline_after(1h); }, 1h));
    CHECK(lies_ahead([] { return deadline_after(1500us); }, 1500us));
    CHECK(lies_ahead([] { return deadline_after(Doubles(0.5)); }, 500ms));
    CHECK(lies_ahead([] { return deadline_after(std::chrono::duration<int, std::ratio<3>>(2)); },
                     6s));
    CHECK(
        lies_ahead([] { return deadline_after(std::chrono::duration<std::uint8_t>(255)); }, 255s));
    CHECK(lies_ahead([] { return deadline_after(24h * 365 * 99); }, 24h * 365 * 99));
}

TEST_CASE("a time shorter than the clock's tick is rounded up, never down to nothing") {
    using Picoseconds = std::chrono::duration<std::int64_t, std::pico>;
    CHECK(lies_ahead([] { return deadline_after(Picoseconds(1)); }, 1ns));
    CHECK(lies_ahead([] { return deadline_after(Picoseconds(1001)); }, 2ns));
}

TEST_CASE("no time, or less, is now") {
    CHECK(is_now([] { return deadline_after(0ns); }));
    CHECK(is_now([] { return deadline_after(0h); }));
    CHECK(is_now([] { return deadline_after(-1ns); }));
    CHECK(is_now([] { return deadline_after(std::chrono::hours::min()); }));
    CHECK(is_now([] { return deadline_after(std::chrono::nanoseconds::min()); }));
    CHECK(is_now([] { return deadline_after(Doubles(-1e300)); }));
    CHECK(is_now([] { return deadline_after(Doubles(-std::numeric_limits<double>::infinity())); }));
    CHECK(is_now([] { return deadline_after(std::chrono::duration<unsigned>(0)); }));
}

TEST_CASE("what is not a number is no time") {
    CHECK(is_now([] { return deadline_after(Doubles(std::numeric_limits<double>::quiet_NaN())); }));
}

TEST_CASE("a time too long to be represented is no limit") {
    CHECK_FALSE(deadline_after(std::chrono::hours::max()));
    CHECK_FALSE(deadline_after(std::chrono::seconds::max()));
    CHECK_FALSE(deadline_after(std::chrono::nanoseconds::max()));
    CHECK_FALSE(deadline_after(std::chrono::years::max()));
    CHECK_FALSE(deadline_after(Doubles(1e300)));
    CHECK_FALSE(deadline_after(Doubles(std::numeric_limits<double>::infinity())));
    CHECK_FALSE(deadline_after(std::chrono::duration<std::uint64_t>::max()));
    CHECK_FALSE(expired(deadline_after(std::chrono::hours::max())));
}

TEST_CASE("a moment of the steady clock is that moment") {
    const Clock::time_point when = Clock::now() + 1h;
    const Deadline deadline = deadline_at(when);
    REQUIRE(deadline);
    CHECK(*deadline - when < 1min);
    CHECK(*deadline >= when);
    CHECK_FALSE(expired(deadline));
    CHECK(expired(deadline_at(Clock::now() - 1h)));
    CHECK(expired(deadline_at(Clock::now())));
}

TEST_CASE("a moment of the wall clock is as far away on the steady clock") {
    const Deadline deadline = deadline_at(SystemClock::now() + 1h);
    REQUIRE(deadline);
    CHECK(*deadline > Clock::now() + 59min);
    CHECK(*deadline < Clock::now() + 61min);
    CHECK(expired(deadline_at(SystemClock::now() - 1h)));
    CHECK(expired(deadline_at(SystemClock::time_point{})));
    CHECK(deadline_at(std::chrono::floor<std::chrono::seconds>(SystemClock::now()) + 10s));
}

TEST_CASE("moments too far away to be represented are no limit, or long past") {
    using Hours = std::chrono::time_point<SystemClock, std::chrono::hours>;
    using Seconds = std::chrono::time_point<SystemClock, std::chrono::seconds>;
    CHECK_FALSE(deadline_at(Clock::time_point::max()));
    CHECK_FALSE(deadline_at(SystemClock::time_point::max()));
    CHECK_FALSE(deadline_at(Seconds::max()));
    CHECK_FALSE(deadline_at(Hours::max()));
    CHECK(expired(deadline_at(Clock::time_point::min())));
    CHECK(expired(deadline_at(SystemClock::time_point::min())));
    CHECK(expired(deadline_at(Seconds::min())));
    CHECK(expired(deadline_at(Hours::min())));
}

TEST_CASE("the earlier of two deadlines is the one that comes first, and no limit never does") {
    const Deadline soon = Clock::now();
    const Deadline later = *soon + 1h;
    CHECK(earlier(soon, later) == soon);
    CHECK(earlier(later, soon) == soon);
    CHECK(earlier(std::nullopt, soon) == soon);
    CHECK(earlier(soon, std::nullopt) == soon);
    CHECK_FALSE(earlier(std::nullopt, std::nullopt));
}

}  // namespace deadline_test
