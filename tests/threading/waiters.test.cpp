// SPDX-License-Identifier: MIT
// ctest: concurrency
#include <doctest/doctest.h>

#include <muster/detail/threading/waiters.hpp>
#include <muster/threading/thread.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "sync/backends.hpp"

namespace threading_waiters_test {

namespace {

using muster::detail::Chosen;
using muster::detail::Clock;
using muster::detail::Waiters;
using muster::test::falls_asleep;
using muster::test::patience;
using muster::test::soon;
using muster::threading::Thread;
using namespace std::chrono_literals;

struct Room {
    std::mutex mutex;
    Waiters waiters;

    std::size_t size() {
        const std::lock_guard held(mutex);
        return waiters.size();
    }
    std::size_t choose(Chosen& chosen, std::size_t count, std::uint32_t message) {
        const std::lock_guard held(mutex);
        return waiters.choose(chosen, count, message);
    }
};

}  // namespace

TEST_CASE("who is chosen learns the message, even if the time is up before the message comes") {
    Room room;
    for (auto limit = 20ms;; limit *= 2) {
        std::uint32_t message = 0;
        bool held_after = true;
        const Clock::time_point end = Clock::now() + limit;
        const Thread thread{[&] {
            std::unique_lock held(room.mutex);
            message = room.waiters.wait(held, end);
            held_after = held.owns_lock();
        }};
        thread.start();
        CHECK(soon([&] { return room.size() == 1 || !thread.is_alive(); }));
        {
            Chosen chosen;
            if (room.choose(chosen, 1, 7) == 0) continue;  // The machine was too slow.
            CHECK(room.size() == 0);
            CHECK(soon([&] { return Clock::now() > end; }));
            CHECK(falls_asleep(thread));
            CHECK(thread.is_alive());
        }
        CHECK(thread.join_for(patience));
        CHECK(message == 7);
        CHECK_FALSE(held_after);
        break;
    }
    CHECK(room.size() == 0);
}

TEST_CASE("who is not chosen in time learns nothing, and holds the mutex") {
    Room room;
    std::unique_lock held(room.mutex);
    CHECK(room.waiters.wait(held, Clock::now() + 5ms) == 0);
    CHECK(held.owns_lock());
    CHECK(room.waiters.size() == 0);
}

}  // namespace threading_waiters_test
