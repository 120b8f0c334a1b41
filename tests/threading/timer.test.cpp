// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's test_threading.py.
#include <doctest/doctest.h>

#include <muster/threading/event.hpp>
#include <muster/threading/timer.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "sync/backends.hpp"

namespace threading_timer_test {

namespace {

using muster::InvalidStateError;
using muster::StopToken;
using muster::test::patience;
using muster::threading::Event;
using muster::threading::Timer;
using namespace std::chrono_literals;

static_assert(!std::copyable<Timer> && std::movable<Timer>);

}  // namespace

TEST_CASE("a timer runs its call after the interval [test_init_immutable_default_args]") {
    std::string text;
    int number = 0;
    const auto begin = std::chrono::steady_clock::now();
    const Timer timer{30ms,
                      [&](const std::string& s, int x) {
                          text = s;
                          number = x;
                      },
                      "text", 5};
    CHECK_FALSE(timer.is_alive());
    timer.start();
    CHECK_FALSE(timer.join_for(0s));
    CHECK(timer.is_alive());
    timer.join();
    CHECK(std::chrono::steady_clock::now() - begin >= 30ms);
    CHECK_FALSE(timer.is_alive());
    CHECK(text == "text");
    CHECK(number == 5);
    CHECK_THROWS_AS(timer.start(), InvalidStateError);
}

TEST_CASE("a timer is a thread: it has a name and an id, and its call can be asked to stop") {
    std::atomic<bool> asked{false};
    const Timer timer{0s, [&](const StopToken& stop) {
                          while (!stop.stop_requested()) std::this_thread::yield();
                          asked = true;
                      }};
    CHECK(timer.name().rfind("Thread-", 0) == 0);
    CHECK(timer.id() == 0);
    CHECK_FALSE(timer.daemon());
    timer.start();
    CHECK(timer.id() > 0);
    CHECK(timer.request_stop());
    CHECK_FALSE(timer.request_stop());
    REQUIRE(timer.join_for(patience));
    CHECK(asked);
}

TEST_CASE("a timer without an interval runs its call at once") {
    for (const auto interval : {0s, -5s}) {
        const Event ran;
        const Timer timer{interval, [ran] { ran.set(); }};
        timer.start();
        CHECK(ran.wait_for(patience));
    }
}

TEST_CASE("a cancelled timer runs nothing") {
    std::atomic<bool> ran{false};
    const auto argument = std::make_shared<int>(0);
    {
        const Timer timer{std::chrono::hours::max(),
                          [&](const std::shared_ptr<int>&) { ran = true; }, argument};
        timer.start();
        timer.cancel();
        timer.cancel();
        CHECK(timer.join_for(patience));
        CHECK(argument.use_count() == 1);
    }
    {
        const Timer timer{0s, [&] { ran = true; }};
        timer.cancel();  // Before the start.
        timer.start();
        CHECK(timer.join_for(patience));
    }
    CHECK_FALSE(ran);
}

TEST_CASE("cancelling a timer leaves a call that runs alone") {
    const Event begun;
    const Event gate;
    std::atomic<bool> ended{false};
    const Timer timer{0s, [&, begun, gate] {
                          begun.set();
                          gate.wait();
                          ended = true;
                      }};
    timer.start();
    begun.wait();
    timer.cancel();
    CHECK_FALSE(timer.join_for(5ms));
    gate.set();
    CHECK(timer.join_for(patience));
    CHECK(ended);
}

TEST_CASE("the destructor cancels a timer, asks its call to stop and waits for its end") {
    std::atomic<bool> ran{false};
    {
        const Timer timer{1h, [&] { ran = true; }};
        timer.start();
    }
    CHECK_FALSE(ran);
    const Event begun;
    std::atomic<bool> ended{false};
    {
        const Timer timer{0s, [&, begun](StopToken stop) {
                              begun.set();
                              while (!stop.stop_requested()) std::this_thread::yield();
                              ended = true;
                          }};
        timer.start();
        begun.wait();
    }
    CHECK(ended);
    const Timer never_started{0s, [&] { ran = true; }};
    CHECK_THROWS_AS(never_started.join(), InvalidStateError);
    CHECK_FALSE(ran);
}

TEST_CASE("a timer that was moved goes on") {
    std::atomic<int> ran{0};
    Timer one{20ms, [&] { ++ran; }};
    one.start();
    {
        const Timer other = std::move(one);
        CHECK_THROWS_AS(one.start(), InvalidStateError);
        one = Timer{1h, [&] { ran += 100; }};  // What was moved from goes, and cancels nothing.
        CHECK(other.join_for(patience));
        CHECK(ran == 1);
    }
    one.start();
    one = Timer{0s, [&] { ++ran; }};  // Cancels the one before.
    one.start();
    CHECK(one.join_for(patience));
    CHECK(ran == 2);
}

}  // namespace threading_timer_test
