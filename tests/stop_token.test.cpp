// SPDX-License-Identifier: MIT
// ctest: alone
#include <doctest/doctest.h>

// The standard library's has tests of its own: these are of ours, for libraries without one.
#include <version>
#if defined(__cpp_lib_jthread)
#undef __cpp_lib_jthread
#endif
#include <atomic>
#include <memory>
#include <muster/stop_token.hpp>
#include <support/race.hpp>
#include <type_traits>
#include <utility>

using muster::StopSource;
using muster::StopToken;

static_assert(std::is_copy_constructible_v<StopToken> && std::is_copy_assignable_v<StopToken>);
static_assert(std::is_same_v<decltype(StopSource().get_token()), StopToken>);

TEST_CASE("a token says whether its source was asked to stop, and so do its copies") {
    const StopSource source;
    const StopToken token = source.get_token();
    const StopToken copy = token;
    CHECK(token.stop_possible());
    CHECK_FALSE(token.stop_requested());
    CHECK_FALSE(source.stop_requested());
    CHECK(source.request_stop());
    CHECK(token.stop_requested());
    CHECK(copy.stop_requested());
    CHECK(source.get_token().stop_requested());
    CHECK(source.stop_requested());
}

TEST_CASE("only the first request is new") {
    const StopSource source;
    const StopSource copy = source;
    CHECK(copy.request_stop());
    CHECK_FALSE(source.request_stop());
    CHECK_FALSE(copy.request_stop());
}

TEST_CASE("a token without a source never stops") {
    const StopToken token;
    CHECK_FALSE(token.stop_possible());
    CHECK_FALSE(token.stop_requested());
}

TEST_CASE("a token may outlive its source") {
    StopToken token;
    {
        const StopSource source;
        token = source.get_token();
        source.request_stop();
    }
    CHECK(token.stop_requested());
}

TEST_CASE("sources are independent of each other") {
    const StopSource one;
    const StopSource two;
    one.request_stop();
    CHECK_FALSE(two.get_token().stop_requested());
}

TEST_CASE("of several threads that ask at the same time one is the first") {
    const StopSource source;
    std::atomic<int> first = 0;
    const auto ask = [&](std::size_t) { first += source.request_stop() ? 1 : 0; };
    muster::test::race(1, ask, ask, ask);
    CHECK(first == 1);
}
