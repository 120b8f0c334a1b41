// SPDX-License-Identifier: MIT
// ctest: concurrency
// How threads begin and end.
// The names in brackets are those of the cases of CPython's test_threading.py.
#include <doctest/doctest.h>

#include <muster/threading/event.hpp>
#include <muster/threading/semaphore.hpp>
#include <muster/threading/thread.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "sync/backends.hpp"

namespace threading_thread_test {

namespace {

using muster::InvalidStateError;
using muster::StopToken;
using muster::test::falls_asleep;
using muster::test::patience;
using muster::threading::Event;
using muster::threading::Thread;
using namespace std::chrono_literals;

static_assert(!std::copyable<Thread> && std::movable<Thread>);
static_assert(!std::is_default_constructible_v<Thread>);

// The calling thread's.
template <typename T>
T& thread_locally() {
    static thread_local T value;
    return value;
}

}  // namespace

TEST_CASE(
    "a thread is not alive, then alive, then not alive [test_various_ops, "
    "test_join_with_timeout]") {
    const Event begun;
    const Event gate;
    const Thread thread{[begun, gate] {
        begun.set();
        gate.wait();
    }};
    CHECK_FALSE(thread.is_alive());
    CHECK(thread.id() == 0);
    thread.start();
    CHECK(thread.is_alive());
    begun.wait();
    CHECK(thread.is_alive());
    CHECK_FALSE(thread.join_for(0s));
    CHECK_FALSE(thread.join_for(-1s));
    CHECK_FALSE(thread.join_for(5ms));
    gate.set();
    thread.join();
    CHECK_FALSE(thread.is_alive());
    thread.join();  // Again.
    CHECK(thread.join_for(0s));
}

TEST_CASE("at most three of ten threads are between acquire and release [test_various_ops]") {
    const muster::threading::BoundedSemaphore semaphore{3};
    std::atomic<int> inside{0};
    std::atomic<int> most{0};
    std::vector<Thread> threads;
    threads.reserve(10);
    for (int i = 0; i < 10; ++i) {
        threads.emplace_back([&, semaphore] {
            semaphore.acquire();
            const int now = ++inside;
            for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
            }
            std::this_thread::yield();
            --inside;
            semaphore.release();
        });
        threads.back().start();
    }
    for (const Thread& thread : threads) thread.join();
    CHECK(inside == 0);
    CHECK(most >= 1);
    CHECK(most <= 3);
}

TEST_CASE("a thread starts once [test_start_thread_again]") {
    const Event gate;
    const Thread thread{[gate] { gate.wait(); }};
    thread.start();
    CHECK_THROWS_AS(thread.start(), InvalidStateError);
    gate.set();
    thread.join();
    CHECK_THROWS_AS(thread.start(), InvalidStateError);
}

TEST_CASE("a thread is not joined before its start [test_joining_inactive_thread]") {
    const Thread thread{[] {}};
    CHECK_THROWS_AS(thread.join(), InvalidStateError);
    CHECK_THROWS_AS((void)thread.join_for(0s), InvalidStateError);
    thread.start();
    thread.join();
}

TEST_CASE("a thread does not join itself [test_joining_current_thread]") {
    const Thread* self = nullptr;
    int refused = 0;
    const Thread thread{[&] {
        try {
            self->join();
        } catch (const InvalidStateError&) {
            ++refused;
        }
        try {
            (void)self->join_for(1ms);
        } catch (const InvalidStateError&) {
            ++refused;
        }
    }};
    self = &thread;
    thread.start();
    thread.join();
    CHECK(refused == 2);
}

TEST_CASE("several threads may join the same one [test_join_from_multiple_threads]") {
    const Event gate;
    const Thread thread{[gate] { gate.wait(); }};
    thread.start();
    std::vector<Thread> joiners;
    joiners.reserve(4);
    std::atomic<int> after{0};
    for (int i = 0; i < 4; ++i) {
        joiners.emplace_back([&] {
            thread.join();
            after += thread.is_alive() ? 0 : 1;
        });
        joiners.back().start();
    }
    for (const Thread& joiner : joiners) CHECK(falls_asleep(joiner));
    CHECK(after == 0);
    gate.set();
    for (const Thread& joiner : joiners) CHECK(joiner.join_for(patience));
    CHECK(after == 4);
}

TEST_CASE("the destructor requests a stop and joins") {
    std::atomic<bool> ended{false};
    {
        const Thread thread{[&](StopToken stop) {
            while (!stop.stop_requested()) std::this_thread::yield();
            ended = true;
        }};
        thread.start();
    }
    CHECK(ended);
}

TEST_CASE("a daemon is asked to stop and not waited for [test_daemon_param]") {
    const Event begun;
    const Event gate;
    const Event stopped;
    const Event ended;
    {
        const Thread thread({.daemon = true}, [=](StopToken stop) {
            begun.set();
            gate.wait();
            if (stop.stop_requested()) stopped.set();
            ended.set();
        });
        CHECK(thread.daemon());
        thread.start();
        begun.wait();
    }
    CHECK_FALSE(ended.is_set());
    gate.set();
    CHECK(ended.wait_for(patience));
    CHECK(stopped.is_set());
}

TEST_CASE("a thread may be moved, also while it runs") {
    const Event gate;
    Thread thread{[gate] { gate.wait(); }};
    thread.start();
    Thread other = std::move(thread);
    CHECK(other.is_alive());
    CHECK_THROWS_AS((void)thread.is_alive(), InvalidStateError);
    CHECK_THROWS_AS(thread.start(), InvalidStateError);
    CHECK_THROWS_AS(thread.join(), InvalidStateError);
    gate.set();
    std::atomic<bool> ended{false};
    other = Thread{[&](StopToken stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
        ended = true;
    }};
    other.start();
    other = Thread{[] {}};  // Waits for the one before.
    CHECK(ended);
}

TEST_CASE("a thread may destroy its own handle") {
    const Event ready;
    const Event ended;
    auto owner = std::make_unique<std::optional<Thread>>();
    owner->emplace([&owner, ready, ended] {
        ready.wait();
        owner.reset();
        ended.set();
    });
    (*owner)->start();
    ready.set();
    CHECK(ended.wait_for(patience));
    CHECK(owner == nullptr);
}

TEST_CASE("join waits for the thread-local objects of the thread") {
    struct Late {
        ~Late() {
            std::this_thread::sleep_for(20ms);
            if (gone) *gone = true;
        }
        std::atomic<bool>* gone = nullptr;
    };
    std::atomic<bool> gone{false};
    const Thread thread{[&] { thread_locally<Late>().gone = &gone; }};
    thread.start();
    SUBCASE("join") { thread.join(); }
    SUBCASE("join_for") { CHECK(thread.join_for(patience)); }
    SUBCASE("is_alive") {
        while (thread.is_alive()) std::this_thread::yield();
    }
    CHECK(gone);
}

}  // namespace threading_thread_test
