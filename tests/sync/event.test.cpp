// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's lock_tests.py.
#include <doctest/doctest.h>

#include <chrono>
#include <vector>

#include "sync/backends.hpp"

namespace sync_event_test {

namespace {

using muster::test::Crew;
using muster::test::next;
using muster::test::patience;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

}  // namespace

TEST_CASE_TEMPLATE(
    "an event is set until it is cleared, in all its copies [test_is_set, test_repr]", B,
    MUSTER_BACKENDS) {
    const typename B::Event event;
    const typename B::Event copy = event;
    CHECK_FALSE(event.is_set());
    event.set();
    CHECK(event.is_set());
    event.set();
    CHECK(copy.is_set());
    copy.wait();
    copy.clear();
    CHECK_FALSE(event.is_set());
    event.clear();
    CHECK_FALSE(copy.is_set());
}

TEST_CASE_TEMPLATE("all who wait for an event go on when it is set [test_notify]", B,
                   MUSTER_BACKENDS) {
    for (int i = 0; i < 2; ++i) {
        const typename B::Event event;
        const typename B::template Queue<int> passed;
        const Crew<B> crew(
            5,
            [](typename B::Event shared, typename B::template Queue<int> out) {
                shared.wait();
                out.put(shared.wait_for(0s) ? 1 : 0);
            },
            event, passed);
        CHECK(crew.falls_asleep());
        CHECK(passed.empty());
        event.set();
        CHECK(next(passed, 5) == std::vector(5, 1));
    }
}

TEST_CASE_TEMPLATE("waiting for an event ends when the time is up [test_timeout, test_event]", B,
                   MUSTER_BACKENDS) {
    const typename B::Event event;
    CHECK_FALSE(event.wait_for(0s));
    CHECK_FALSE(event.wait_for(-1s));
    const auto begin = Clock::now();
    CHECK_FALSE(event.wait_for(50ms));
    CHECK(Clock::now() - begin >= 50ms);
    event.set();
    CHECK(event.wait_for(0s));
    CHECK(event.wait_for(patience));
    CHECK(event.wait_for(std::chrono::hours::max()));
}

TEST_CASE_TEMPLATE("all who wait go on when it is set and cleared at once [test_set_and_clear]", B,
                   MUSTER_BACKENDS) {
    const typename B::Event event;
    const typename B::template Queue<int> passed;
    const auto wait = [](typename B::Event shared, typename B::template Queue<int> out) {
        out.put(shared.wait_for(patience) ? 1 : 0);
    };
    const Crew<B> crew(5, wait, event, passed);
    CHECK(crew.falls_asleep());
    event.set();
    event.clear();
    CHECK(next(passed, 5) == std::vector(5, 1));
    CHECK_FALSE(event.is_set());
    const Crew<B> late(1, wait, event, passed);
    CHECK(late.falls_asleep());
    CHECK(passed.empty());
    event.set();
    CHECK(next(passed, 1) == std::vector{1});
}

}  // namespace sync_event_test
