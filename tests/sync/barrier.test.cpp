// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's lock_tests.py, and of its
// _test_multiprocessing.py.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "sync/backends.hpp"

namespace sync_barrier_test {

namespace {

using muster::BrokenBarrierError;
using muster::test::Crew;
using muster::test::next;
using muster::test::patience;
using muster::test::soon;
using namespace std::chrono_literals;

template <typename B>
using Numbers = typename B::template Queue<int>;

// A worker that passes the barrier so often, and says each time which round it is, or -1 when the
// barrier is broken.
template <typename B>
void pass(typename B::Barrier barrier, int rounds, Numbers<B> out) {
    try {
        for (int round = 0; round < rounds; ++round) {
            out.put(round);
            barrier.wait();
        }
    } catch (const BrokenBarrierError&) {
        out.put(-1);
    }
}

// A worker that says its place, or -1 when the barrier is broken.
template <typename B>
void come(typename B::Barrier barrier, Numbers<B> out) {
    try {
        out.put(static_cast<int>(barrier.wait()));
    } catch (const BrokenBarrierError&) {
        out.put(-1);
    }
}

// Whether that many pass each round before any of them begins the next.
template <typename B>
bool in_step(int parties, int rounds) {
    const typename B::Barrier barrier(parties);
    const Numbers<B> seen;
    const Crew<B> crew(static_cast<std::size_t>(parties), &pass<B>, barrier, rounds, seen);
    for (int i = 0; i < parties * rounds; ++i)
        if (seen.get_for(patience) != i / parties) return false;
    return crew.join() && !barrier.broken() && barrier.n_waiting() == 0;
}

}  // namespace

TEST_CASE_TEMPLATE("a barrier is for one or more [test_constructor]", B, MUSTER_BACKENDS) {
    CHECK_THROWS_AS(typename B::Barrier(0), std::invalid_argument);
    CHECK_THROWS_AS(typename B::Barrier(-1), std::invalid_argument);
    const typename B::Barrier barrier(std::size_t{3});
    CHECK(barrier.parties() == 3);
    CHECK(barrier.n_waiting() == 0);
    CHECK_FALSE(barrier.broken());
}

TEST_CASE_TEMPLATE(
    "nobody goes on before all have come, again and again [test_barrier, "
    "test_barrier_10, test_thousand]",
    B, MUSTER_BACKENDS) {
    CHECK(in_step<B>(5, 1));
    CHECK(in_step<B>(5, 10));
    CHECK(in_step<B>(5, 1000));
    CHECK(in_step<B>(2, 1000));
}

TEST_CASE_TEMPLATE("a barrier for one never waits [test_single_thread]", B, MUSTER_BACKENDS) {
    const typename B::Barrier barrier(1);
    CHECK(barrier.wait() == 0);
    CHECK(barrier.wait() == 0);
    CHECK(barrier.wait_for(0s));
}

TEST_CASE_TEMPLATE("each who waits has a place of its own [test_wait_return, test_repr]", B,
                   MUSTER_BACKENDS) {
    const typename B::Barrier barrier(5);
    const Numbers<B> places;
    const Crew<B> crew(4, &come<B>, barrier, places);
    CHECK(soon([&] { return barrier.n_waiting() == 4; }));
    CHECK(places.empty());
    CHECK(barrier.wait() == 4);
    CHECK(next(places, 4) == std::vector{0, 1, 2, 3});
    CHECK(barrier.n_waiting() == 0);
}

TEST_CASE_TEMPLATE("abort breaks the barrier for those who wait and those who come [test_abort]", B,
                   MUSTER_BACKENDS) {
    const typename B::Barrier barrier(3);
    const Numbers<B> places;
    const Crew<B> crew(2, &come<B>, barrier, places);
    CHECK(soon([&] { return barrier.n_waiting() == 2; }));
    barrier.abort();
    CHECK(next(places, 2) == std::vector{-1, -1});
    CHECK(barrier.broken());
    CHECK(barrier.n_waiting() == 0);
    CHECK_THROWS_AS(barrier.wait(), BrokenBarrierError);
    CHECK_THROWS_AS(barrier.wait_for(1ms), BrokenBarrierError);
    barrier.abort();
    CHECK(barrier.broken());
}

TEST_CASE_TEMPLATE(
    "reset breaks the barrier for those who wait, not for those who come [test_reset]", B,
    MUSTER_BACKENDS) {
    const typename B::Barrier barrier(3);
    const Numbers<B> places;
    const Crew<B> crew(2, &come<B>, barrier, places);
    CHECK(soon([&] { return barrier.n_waiting() == 2; }));
    barrier.reset();
    CHECK(next(places, 2) == std::vector{-1, -1});
    CHECK_FALSE(barrier.broken());
    const Crew<B> again(3, &come<B>, barrier, places);
    CHECK(next(places, 3) == std::vector{0, 1, 2});
}

TEST_CASE_TEMPLATE("reset makes a broken barrier usable [test_abort_and_reset]", B,
                   MUSTER_BACKENDS) {
    const typename B::Barrier barrier(2);
    barrier.reset();
    CHECK_FALSE(barrier.broken());
    barrier.abort();
    barrier.reset();
    CHECK_FALSE(barrier.broken());
    const Numbers<B> places;
    const Crew<B> crew(2, &come<B>, barrier, places);
    CHECK(next(places, 2) == std::vector{0, 1});
}

TEST_CASE_TEMPLATE("who waits in vain breaks the barrier for all [test_timeout]", B,
                   MUSTER_BACKENDS) {
    const typename B::Barrier barrier(3);
    const Numbers<B> places;
    const Crew<B> crew(1, &come<B>, barrier, places);
    CHECK(soon([&] { return barrier.n_waiting() == 1; }));
    CHECK_FALSE(barrier.wait_for(20ms));
    CHECK(next(places, 1) == std::vector{-1});
    CHECK(barrier.broken());
    CHECK_THROWS_AS(barrier.wait(), BrokenBarrierError);
    barrier.reset();
    CHECK_FALSE(barrier.wait_for(-1s));
    CHECK(barrier.broken());
}

TEST_CASE_TEMPLATE("who has time waits for the others [test_default_timeout]", B, MUSTER_BACKENDS) {
    const typename B::Barrier barrier(2);
    const Numbers<B> places;
    const Crew<B> crew(1, &come<B>, barrier, places);
    CHECK(barrier.wait_for(patience));
    CHECK(next(places, 1).front() != -1);
    CHECK_FALSE(barrier.broken());
}

TEST_CASE_TEMPLATE("a broken barrier says why", B, MUSTER_BACKENDS) {
    const typename B::Barrier barrier(2);
    const auto why = [&]() -> std::string {
        try {
            barrier.wait();
        } catch (const BrokenBarrierError& error) {
            return error.what();
        }
        return "";
    };
    CHECK_FALSE(barrier.wait_for(0s));
    CHECK(why() ==
          "muster: the barrier is broken: one who waited has run out of time; reset() makes it as "
          "new");
    barrier.reset();
    barrier.abort();
    CHECK_THROWS_AS(barrier.wait_for(0s), BrokenBarrierError);
    CHECK(why() == "muster: the barrier is broken: abort() was called; reset() makes it as new");
}

}  // namespace sync_barrier_test
