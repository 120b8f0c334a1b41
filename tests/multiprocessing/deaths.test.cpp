// SPDX-License-Identifier: MIT
// ctest: concurrency skip=thread
// ThreadSanitizer: it finds nothing, but takes many minutes.
// Processes are killed at random moments while they use what processes share. TEST_KILLS=100000 in
// the environment makes it long.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
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
#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::family;
using muster::test::family_bytes;
using muster::test::patience;
using muster::test::soon;
using namespace std::chrono_literals;
using Counts = mp::SharedArray<std::uint64_t>;

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

/// Runs an actor of each number, kills one after the other at random moments, and replaces it once
/// `killed` has seen what became of the others.
template <std::size_t count, typename Act, typename Killed>
void kill_at_random(int times, std::array<Copy, count>& actors, Act act, Killed killed) {
    Chance chance;
    for (std::size_t i = 0; i < count; ++i) actors[i] = act(i);
    for (int n = 0; n < times; ++n) {
        CAPTURE(n);
        chance.wait(1'500);
        const auto victim = static_cast<std::size_t>(chance.below(static_cast<int>(count)));
        REQUIRE(actors[victim].kill() == -SIGKILL);
        killed(victim);
        actors[victim] = act(victim);
    }
}

/// Whether all but one of those who count their turns have soon had some more than before. What is to
/// be done for that is done again and again.
template <typename Help>
bool others_go_on(const Counts& turns, std::size_t dead, std::uint64_t more, Help help) {
    const std::vector<std::uint64_t> so_far(turns.begin(), turns.end());
    return soon([&] {
        help();
        for (std::size_t i = 0; i < so_far.size(); ++i)
            if (i != dead && turns[i] < so_far[i] + more) return false;
        return true;
    });
}
bool others_go_on(const Counts& turns, std::size_t dead) {
    return others_go_on(turns, dead, 1, [] {});
}

/// The family's memory in use, which is the same each time.
class Level {
  public:
    void check() {
        const std::uint64_t now = family_bytes();
        if (first_ == 0) first_ = now;
        REQUIRE(now == first_);
    }

  private:
    std::uint64_t first_ = 0;
};

/// The numbers that each of some producers puts into a queue, one after the other, and how often each
/// of them was received.
class Numbers {
  public:
    static constexpr std::size_t producers = 2;
    static constexpr std::uint64_t none = ~std::uint64_t{0};
    using Ends = std::array<std::uint64_t, producers>;

    Numbers() { std::fill(end_.begin(), end_.end(), window / 2); }

    void put_next(const mp::Queue<std::uint64_t>& queue, std::size_t producer) const {
        const std::uint64_t n = tried_[producer];
        while (n >= end_[producer]) std::this_thread::yield();
        tried_[producer] = n + 1;
        queue.put(n * producers + producer);
        put_[producer] = n + 1;
    }
    void receive(std::uint64_t number) const {
        if (number != none) ++received_[number % received_.size()];
    }

    /// Has producers go on while those below these are settled.
    void go_on(const Ends& ends) const {
        for (std::size_t i = 0; i < producers; ++i) end_[i] = ends[i] + window / 2;
    }
    /// Looks at all the numbers below these, which have gone through the queue. A dead producer may
    /// have put its last one, or not.
    void settle(const Ends& ends, std::size_t dead) {
        for (std::size_t i = 0; i < producers; ++i) {
            const bool doubtful = i == dead && put_[i] != tried_[i];
            for (; settled_[i] < ends[i]; ++settled_[i]) {
                auto& times = received_[(settled_[i] * producers + i) % received_.size()];
                if (times == 0 && !(doubtful && settled_[i] + 1 == ends[i])) ++lost_;
                if (times > 1) ++twice_;
                times = 0;
            }
            if (i == dead) put_[i] = tried_[i];
        }
    }
    /// Up to where a producer may have put, or to where it surely has if it lives.
    [[nodiscard]] Ends ends(std::size_t dead) const {
        Ends all{};
        for (std::size_t i = 0; i < producers; ++i) all[i] = i == dead ? tried_[i] : put_[i];
        return all;
    }
    [[nodiscard]] std::size_t lost() const { return lost_; }
    [[nodiscard]] std::size_t twice() const { return twice_; }

  private:
    static constexpr std::uint64_t window = 1 << 16;  // A place is used again when it is settled.

    Counts tried_{producers}, put_{producers};
    Counts end_{producers};  ///< No producer puts this number, or a later one, yet.
    mp::SharedArray<std::uint8_t> received_{producers * window};
    Ends settled_{};
    std::size_t lost_ = 0, twice_ = 0;
};

}  // namespace

TEST_CASE("whoever is killed at a queue, no item of others is lost or comes twice") {
    const std::uint64_t before = family_bytes();
    {
        constexpr std::size_t producers = Numbers::producers, consumers = 2, room = 8;
        const mp::Queue<std::uint64_t> queue(room);
        Numbers numbers;
        const Counts turns(producers + consumers);
        const auto act = [&](std::size_t i) {
            return Copy([&, i] {
                if (i < producers) {
                    for (;; turns[i] = turns[i] + 1) numbers.put_next(queue, i);
                } else {
                    for (; const auto number = queue.get(); turns[i] = turns[i] + 1)
                        numbers.receive(*number);
                }
            });
        };
        std::size_t killed_consumers = 0;
        const std::uint64_t at_first = family_bytes();
        std::array<Copy, producers + consumers> running;
        kill_at_random(kills() / 2, running, act, [&](std::size_t dead) {
            killed_consumers += dead < producers ? 0 : 1;
            const Numbers::Ends ends = numbers.ends(dead);
            // Who has received so much more has said so of all that was in the queue before.
            REQUIRE(others_go_on(turns, dead, room + 2, [&] {
                numbers.go_on(ends);
                (void)queue.try_put(Numbers::none);  // For who gets none of the numbers.
            }));
            numbers.settle(ends, dead);
            REQUIRE(numbers.twice() == 0);
            REQUIRE(numbers.lost() <= killed_consumers);  // What they had just taken.
            REQUIRE(family_bytes() < at_first + 32'768);  // The others', and some of the queue's.
        });
        for (std::size_t i = 0; i < producers; ++i) REQUIRE(running[i].kill() == -SIGKILL);
        queue.shutdown();
        for (std::size_t i = producers; i < running.size(); ++i) CHECK(running[i].join() == 0);
        for (std::size_t i = 0; i < producers; ++i) numbers.settle(numbers.ends(i), i);
        CHECK(numbers.twice() == 0);
        CHECK(numbers.lost() <= killed_consumers);
        CHECK(queue.size() == 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("when a lock's holder is killed all others are told, until one has recovered it") {
    const std::uint64_t before = family_bytes();
    {
        const mp::Lock lock;
        const Counts pair(2);  // Equal, whenever nobody holds the lock.
        const Counts turns(3);
        const auto act = [&](std::size_t i) {
            return Copy([&, i] {
                for (;;) try {
                        const std::scoped_lock held(lock);
                        pair[0] = pair[0] + 1;
                        pair[1] = pair[1] + 1;
                        turns[i] = turns[i] + 1;
                    } catch (const muster::AbandonedLock&) {
                        std::this_thread::yield();
                    }
            });
        };
        int abandoned = 0;
        Level level;
        std::array<Copy, 3> running;
        kill_at_random(kills(), running, act, [&](std::size_t dead) {
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
            REQUIRE(others_go_on(turns, dead));
            level.check();
        });
        CHECK(abandoned > 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("permits of a semaphore come back from processes that were killed") {
    const std::uint64_t before = family_bytes();
    {
        const mp::BoundedSemaphore permits(2);
        const Counts turns(4);
        const auto act = [&](std::size_t i) {
            return Copy([&, i] {
                for (;;) {
                    permits.acquire();
                    turns[i] = turns[i] + 1;
                    permits.release();
                }
            });
        };
        Level level;
        std::array<Copy, 4> running;
        kill_at_random(kills() / 2, running, act, [&](std::size_t dead) {
            REQUIRE(permits.try_acquire_for(patience));
            REQUIRE(permits.try_acquire_for(patience));
            REQUIRE_FALSE(permits.try_acquire());  // Neither more nor less than there were.
            permits.release(2);
            REQUIRE(others_go_on(turns, dead));
            level.check();
        });
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("a barrier breaks when a participant is killed, and is as new after reset") {
    const std::uint64_t before = family_bytes();
    {
        const mp::Barrier barrier(3);
        const Counts told(3), has_barrier(3);
        const auto act = [&](std::size_t i) {
            has_barrier[i] = 0;
            return Copy([&, i] {
                // A copy of a process gets a hold on each at its first use.
                told[i] += 0;
                (void)barrier.parties();
                has_barrier[i] = 1;
                for (;;) try {
                        (void)barrier.wait();
                    } catch (const muster::BrokenBarrierError&) {
                        told[i] = told[i] + 1;
                        std::this_thread::yield();
                    }
            });
        };
        int broken = 0;
        Level level;
        std::array<Copy, 3> running;
        kill_at_random(kills(), running, act, [&](std::size_t dead) {
            if (has_barrier[dead] != 0) REQUIRE(barrier.broken());
            if (barrier.broken()) {
                ++broken;
                REQUIRE(others_go_on(told, dead));
            }
            barrier.reset();
            // In place of the dead one. The second time, the others have passed once.
            for (int i = 0; i < 2; ++i) REQUIRE(barrier.wait_for(patience));
            level.check();
        });
        CHECK(broken > 0);
        for (Copy& copy : running) (void)copy.kill();
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
        const Counts turns(3);
        const auto act = [&](std::size_t i) {
            return Copy([&, i] {
                for (;;) try {
                        std::unique_lock held(lock);
                        changed.wait(held);
                        held.unlock();
                        event.wait();
                        turns[i] = turns[i] + 1;
                    } catch (const muster::AbandonedLock&) {
                        std::this_thread::yield();
                    }
            });
        };
        std::array<Copy, 3> running;
        kill_at_random(kills(), running, act, [&](std::size_t dead) {
            try {
                const std::scoped_lock held(lock);
            } catch (const muster::AbandonedLock&) {
                lock.recover();
                lock.unlock();
            }
            changed.notify_one();
            event.set();
            event.clear();
            // All who live wait, and hear.
            REQUIRE(others_go_on(turns, dead, 1, [&] {
                event.set();
                changed.notify_all();
            }));
            event.clear();
        });
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("what a killed process had of the family's memory comes back") {
    (void)family();  // Else each copy has a memory of its own, which nobody looks at.
    const std::uint64_t before = family_bytes();
    const auto descriptors = muster::test::open_descriptors().size();
    for (int i = 0; i < 100; ++i) {
        Copy copy([] {
            const mp::Queue<std::string> queue;
            for (;;) queue.put(std::string(10'000, 'x'));
        });
        Chance().wait(3'000);
        (void)copy.kill();
        REQUIRE(family_bytes() == before);
    }
    CHECK(muster::test::open_descriptors().size() == descriptors);
}

}  // namespace multiprocessing_deaths_test
