// SPDX-License-Identifier: MIT
// ctest: concurrency skip=thread
// Processes are killed at random moments while they use what processes share. TEST_KILLS=100000 in
// the environment makes it long.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/family.hpp"

namespace multiprocessing_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::family_bytes;
using namespace std::chrono_literals;

int kills() {
    const char* const wanted = std::getenv("TEST_KILLS");
    return wanted ? std::atoi(wanted) : 1'000;
}

/// Waits for some moment within the next so many microseconds.
class Chance {
  public:
    void wait(int most_us) {
        const auto end =
            std::chrono::steady_clock::now() + std::chrono::microseconds(below(most_us));
        while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
    }
    int below(int end) { return std::uniform_int_distribution(0, end - 1)(generator_); }

  private:
    std::mt19937 generator_{20260101};
};

/// Runs `actors` of each action, kills one after the other at random moments, and replaces it.
template <std::size_t count, typename Act, typename Killed>
void kill_at_random(int times, std::array<Copy, count>& actors, Act act, Killed killed) {
    Chance chance;
    for (std::size_t i = 0; i < count; ++i) actors[i] = act(i);
    for (int n = 0; n < times; ++n) {
        chance.wait(1'500);
        const auto victim = static_cast<std::size_t>(chance.below(static_cast<int>(count)));
        REQUIRE(actors[victim].kill() == -SIGKILL);
        killed(victim);
        actors[victim] = act(victim);
    }
}

}  // namespace

TEST_CASE("whoever is killed at a queue, no item of others is lost or comes twice") {
    const std::uint64_t before = family_bytes();
    {
        constexpr std::size_t producers = 2, consumers = 2, actors = producers + consumers;
        constexpr std::size_t most = 1'000'000;
        const mp::Queue<std::uint64_t> queue(8);
        const mp::SharedArray<std::uint64_t> tried(producers), put(producers);
        const mp::SharedArray<std::uint8_t> received(producers * most);
        std::vector<std::uint64_t> doubtful;  // Their producer was killed at them.
        std::size_t killed_consumers = 0;

        const auto act = [&](std::size_t i) {
            return Copy([&, i] {
                if (i < producers) {
                    for (std::uint64_t n = tried[i]; n < most; ++n) {
                        tried[i] = n + 1;
                        queue.put(i * most + n);
                        put[i] = n + 1;
                    }
                } else {
                    while (const auto item = queue.get()) ++received[*item];
                }
            });
        };
        std::array<Copy, actors> running;
        kill_at_random(kills(), running, act, [&](std::size_t i) {
            if (i >= producers) {
                ++killed_consumers;
            } else if (put[i] != tried[i]) {
                doubtful.push_back(i * most + tried[i] - 1);
            }
        });
        for (std::size_t i = 0; i < producers; ++i) {
            (void)running[i].kill();
            if (put[i] != tried[i]) doubtful.push_back(i * most + tried[i] - 1);
        }
        queue.shutdown();
        for (std::size_t i = producers; i < actors; ++i) CHECK(running[i].join() == 0);

        std::size_t lost = 0, twice = 0, items = 0;
        for (const std::uint64_t item : doubtful)
            if (received[item] == 0) received[item] = 1;
        for (std::size_t i = 0; i < producers; ++i)
            for (std::uint64_t n = 0; n < tried[i]; ++n, ++items) {
                if (received[i * most + n] == 0) ++lost;
                if (received[i * most + n] > 1) ++twice;
            }
        CHECK(items > 0);
        CHECK(twice == 0);
        CHECK(lost <= killed_consumers);  // What they had just taken.
        CHECK(queue.size() == 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("when a lock's holder is killed all others are told, until one has recovered it") {
    const std::uint64_t before = family_bytes();
    {
        const mp::Lock lock;
        const mp::SharedArray<std::uint64_t> pair(2);  // Equal, whenever nobody holds the lock.
        const auto act = [&](std::size_t) {
            return Copy([&] {
                for (;;) try {
                        const std::scoped_lock held(lock);
                        pair[0] = pair[0] + 1;
                        pair[1] = pair[1] + 1;
                    } catch (const muster::AbandonedLock&) {
                        std::this_thread::yield();
                    }
            });
        };
        int abandoned = 0;
        std::array<Copy, 3> running;
        kill_at_random(kills(), running, act, [&](std::size_t) {
            try {
                const std::scoped_lock held(lock);
                REQUIRE(pair[0] == pair[1]);
            } catch (const muster::AbandonedLock&) {
                ++abandoned;
                CHECK_THROWS_AS((void)lock.try_lock(), muster::AbandonedLock);
                CHECK_THROWS_AS((void)lock.try_lock_for(1s), muster::AbandonedLock);
                lock.recover();
                pair[1] = pair[0];
                lock.unlock();
            }
        });
        CHECK(abandoned > 0);
        CHECK(pair[0] > 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("permits of a semaphore come back from processes that were killed") {
    const std::uint64_t before = family_bytes();
    {
        const mp::BoundedSemaphore permits(2);
        const mp::SharedArray<std::uint64_t> passes(4);
        const auto act = [&](std::size_t i) {
            return Copy([&, i] {
                for (;;) {
                    permits.acquire();
                    passes[i] = passes[i] + 1;
                    permits.release();
                }
            });
        };
        std::array<Copy, 4> running;
        kill_at_random(kills(), running, act, [](std::size_t) {});
        for (Copy& copy : running) (void)copy.kill();
        CHECK(passes[0] + passes[1] + passes[2] + passes[3] > 0);
        CHECK(permits.try_acquire());
        CHECK(permits.try_acquire());
        CHECK_FALSE(permits.try_acquire());
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("a barrier breaks when a participant is killed, and is as new after reset") {
    const std::uint64_t before = family_bytes();
    {
        const mp::Barrier barrier(3);
        const mp::SharedArray<std::uint64_t> passes(3), has_barrier(3);
        const auto act = [&](std::size_t i) {
            has_barrier[i] = 0;
            return Copy([&, i] {
                (void)barrier.parties();  // A copy of a process gets a hold on it at its first use.
                has_barrier[i] = 1;
                for (;;) try {
                        (void)barrier.wait();
                        passes[i] = passes[i] + 1;
                    } catch (const muster::BrokenBarrierError&) {
                        std::this_thread::yield();
                    }
            });
        };
        int broken = 0;
        std::array<Copy, 3> running;
        kill_at_random(kills() / 4, running, act, [&](std::size_t i) {
            if (has_barrier[i] != 0) REQUIRE(barrier.broken());
            broken += barrier.broken() ? 1 : 0;
            barrier.reset();
        });
        CHECK(broken > 0);
        for (Copy& copy : running) (void)copy.kill();
        CHECK(passes[0] > 0);
        CHECK(barrier.n_waiting() == 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("who is killed while waiting for a condition or an event disturbs nobody") {
    const std::uint64_t before = family_bytes();
    {
        const mp::Lock lock;
        const mp::Condition changed;
        const mp::Event event;
        const mp::SharedArray<std::uint64_t> woken(3);
        const auto act = [&](std::size_t i) {
            return Copy([&, i] {
                for (;;) try {
                        std::unique_lock held(lock);
                        changed.wait(held);
                        held.unlock();
                        event.wait();
                        woken[i] = woken[i] + 1;
                    } catch (const muster::AbandonedLock&) {
                        std::this_thread::yield();
                    }
            });
        };
        std::array<Copy, 3> running;
        kill_at_random(kills() / 4, running, act, [&](std::size_t) {
            try {
                const std::scoped_lock held(lock);
            } catch (const muster::AbandonedLock&) {
                lock.recover();
                lock.unlock();
            }
            changed.notify_one();
            event.set();
            event.clear();
        });
        // All who live still wait, and hear: one call is enough for each of the three.
        const auto patience = std::chrono::steady_clock::now() + 200s;
        for (std::size_t i = 0; i < 3; ++i) {
            const std::uint64_t so_far = woken[i];
            event.set();
            while (woken[i] == so_far && std::chrono::steady_clock::now() < patience) {
                changed.notify_all();
                std::this_thread::yield();
            }
            CHECK(woken[i] > so_far);
        }
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("what a killed process had of the family's memory comes back") {
    const std::uint64_t before = family_bytes();
    const auto descriptors = muster::test::open_descriptors().size();
    for (int i = 0; i < 100; ++i) {
        Copy copy([] {
            const mp::Queue<std::string> queue;
            for (;;) queue.put(std::string(10'000, 'x'));
        });
        Chance().wait(3'000);
        (void)copy.kill();
    }
    CHECK(family_bytes() == before);
    CHECK(muster::test::open_descriptors().size() == descriptors);
}

}  // namespace multiprocessing_deaths_test
