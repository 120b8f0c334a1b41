// SPDX-License-Identifier: MIT
// ctest: concurrency
// What the holder of a lock leaves to others when it is killed, and who waits for a condition with
// it.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <signal.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <type_traits>

#include "support/asleep.hpp"
#include "support/family.hpp"

namespace multiprocessing_lock_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::falls_asleep;
using muster::test::family_bytes;
using muster::test::patience;
using namespace std::chrono_literals;

/// How a call in another process ended.
enum class Came : int { not_yet, to_its_end, to_false, to_an_abandoned_lock };

/// What copies say about the calls that they made.
class Reports {
  public:
    explicit Reports(std::size_t copies) : came_(copies) {}

    /// Makes the call, which returns nothing, or whether it succeeded.
    template <typename Call>
    void report(std::size_t copy, Call call) const {
        came_[copy] = came_of(call);
        there_.release();
    }
    [[nodiscard]] bool wait_for_one() const { return there_.try_acquire_for(patience); }
    [[nodiscard]] Came operator[](std::size_t copy) const { return came_[copy]; }

  private:
    template <typename Call>
    static Came came_of(Call call) {
        try {
            if constexpr (std::is_void_v<decltype(call())>)
                call();
            else if (!call())
                return Came::to_false;
            return Came::to_its_end;
        } catch (const muster::AbandonedLock&) {
            return Came::to_an_abandoned_lock;
        }
    }

    mp::SharedArray<Came> came_;
    mp::Semaphore there_{0};
};

/// How a call ends in another process, at which it has to end at once.
template <typename Call>
Came elsewhere(Call call) {
    const Reports reports(1);
    const Copy other([&] { reports.report(0, call); });
    REQUIRE(reports.wait_for_one());
    return reports[0];
}

/// Kills a process that holds the lock so many times.
template <typename L>
void kill_holder_of(const L& lock, int times) {
    const mp::Event held, never;
    Copy holder([&] {
        for (int i = 0; i < times; ++i) lock.lock();
        held.set();
        never.wait();
    });
    REQUIRE(held.wait_for(patience));
    REQUIRE(holder.kill() == -SIGKILL);
}

/// All that a thread can do with a lock, but recover it.
template <typename L>
void check_abandoned(const L& lock) {
    CHECK_THROWS_AS(lock.lock(), muster::AbandonedLock);
    CHECK_THROWS_AS((void)lock.try_lock(), muster::AbandonedLock);
    CHECK_THROWS_AS((void)lock.try_lock_for(0s), muster::AbandonedLock);
    CHECK_THROWS_AS((void)lock.try_lock_for(patience), muster::AbandonedLock);
    CHECK_THROWS_AS(lock.unlock(), muster::InvalidStateError);
    CHECK_FALSE(lock.locked());
    CHECK(elsewhere([&] { lock.lock(); }) == Came::to_an_abandoned_lock);
    CHECK(elsewhere([&] { return lock.try_lock(); }) == Came::to_an_abandoned_lock);
    CHECK(elsewhere([&] { return lock.try_lock_for(patience); }) == Came::to_an_abandoned_lock);
}

}  // namespace

TEST_CASE(
    "an RLock whose holder was killed is abandoned, however often it was held, and as new "
    "when it was recovered") {
    const std::uint64_t before = family_bytes();
    {
        const mp::RLock lock;
        for (int round = 0; round < 3; ++round) {
            kill_holder_of(lock, 2);
            check_abandoned(lock);

            lock.recover();
            CHECK(lock.locked());
            CHECK(elsewhere([&] { return lock.try_lock(); }) == Came::to_false);
            lock.unlock();  // Once is enough.
            CHECK_FALSE(lock.locked());
            CHECK_THROWS_AS(lock.unlock(), muster::InvalidStateError);

            const auto twice = [&] {
                lock.lock();
                lock.lock();
                lock.unlock();
                if (!lock.locked()) return false;
                lock.unlock();
                return !lock.locked();
            };
            CHECK(twice());
            CHECK(elsewhere(twice) == Came::to_its_end);
        }
    }
    CHECK(family_bytes() == before);
}

TEST_CASE(
    "who recovers an abandoned RLock may hold it more often, and frees it by as many unlocks") {
    const mp::RLock lock;
    kill_holder_of(lock, 2);
    lock.recover();
    lock.lock();
    lock.recover();
    for (int left = 3; left > 0; --left) {
        CHECK(elsewhere([&] { return lock.try_lock(); }) == Came::to_false);
        lock.unlock();
    }
    CHECK(elsewhere([&] { return lock.try_lock(); }) == Came::to_its_end);
}

TEST_CASE_TEMPLATE("all who sleep at a lock when its holder is killed are told", L, mp::Lock,
                   mp::RLock) {
    const std::uint64_t before = family_bytes();
    {
        const L lock;
        const mp::Event held, never;
        Copy holder([&] {
            lock.lock();
            held.set();
            never.wait();
        });
        REQUIRE(held.wait_for(patience));
        const Reports reports(3);
        const std::array waiting{
            Copy([&] { reports.report(0, [&] { lock.lock(); }); }),
            Copy([&] { reports.report(1, [&] { return lock.try_lock_for(patience); }); }),
            Copy([&] { reports.report(2, [&] { const std::scoped_lock its(lock); }); })};
        for (const Copy& copy : waiting) REQUIRE(falls_asleep(copy));

        REQUIRE(holder.kill() == -SIGKILL);
        for (std::size_t i = 0; i < waiting.size(); ++i) REQUIRE(reports.wait_for_one());
        for (std::size_t i = 0; i < waiting.size(); ++i)
            CHECK(reports[i] == Came::to_an_abandoned_lock);
        lock.recover();
        lock.unlock();
        CHECK(elsewhere([&] { return lock.try_lock(); }) == Came::to_its_end);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE_TEMPLATE(
    "who waits for a condition gets AbandonedLock when who held its lock meanwhile "
    "was killed",
    L, mp::Lock, mp::RLock) {
    const std::uint64_t before = family_bytes();
    {
        const L lock;
        const mp::Condition changed;
        const mp::Semaphore waiting(0);
        const Reports reports(5);
        const auto not_held = [&](const auto& wait) {
            try {
                wait();
            } catch (const muster::AbandonedLock&) {
                bool refused = false;
                try {
                    lock.unlock();
                } catch (const muster::InvalidStateError&) {
                    refused = true;
                }
                if (refused) throw;
            }
        };
        const auto with_guard = [&](const auto& wait) {
            std::unique_lock<const L> guard(lock);
            waiting.release();
            try {
                wait(guard);
            } catch (const muster::AbandonedLock&) {
                if (!guard.owns_lock()) throw;
            }
        };
        const std::array waiters{
            Copy([&] {
                lock.lock();
                waiting.release();
                reports.report(0, [&] { not_held([&] { changed.wait(lock); }); });
            }),
            Copy([&] {
                reports.report(1, [&] { with_guard([&](auto& guard) { changed.wait(guard); }); });
            }),
            Copy([&] {
                reports.report(2, [&] {
                    with_guard([&](auto& guard) { changed.wait(guard, [] { return false; }); });
                });
            }),
            Copy([&] {
                reports.report(3, [&] {
                    with_guard([&](auto& guard) { (void)changed.wait_for(guard, patience); });
                });
            }),
            // Its time is up while another process holds the lock.
            Copy([&] {
                reports.report(4, [&] {
                    with_guard([&](auto& guard) {
                        while (!changed.wait_for(guard, 1ms))
                            ;
                    });
                });
            })};
        // Whoever holds the lock after they have said so knows that they wait.
        for (std::size_t i = 0; i < waiters.size(); ++i) REQUIRE(waiting.try_acquire_for(patience));
        kill_holder_of(lock, 1);
        REQUIRE(reports.wait_for_one());
        CHECK(reports[4] == Came::to_an_abandoned_lock);
        changed.notify_all();
        for (std::size_t i = 0; i < 4; ++i) REQUIRE(reports.wait_for_one());
        for (std::size_t i = 0; i < 4; ++i) {
            CAPTURE(i);
            CHECK(reports[i] == Came::to_an_abandoned_lock);
        }
        check_abandoned(lock);

        lock.recover();
        lock.unlock();
        const Reports later(1);
        const Copy waiter([&] {
            later.report(0, [&] {
                const std::scoped_lock held(lock);
                waiting.release();
                return changed.wait_for(lock, patience);
            });
        });
        REQUIRE(waiting.try_acquire_for(patience));
        {
            const std::scoped_lock held(lock);
            changed.notify_one();
        }
        REQUIRE(later.wait_for_one());
        CHECK(later[0] == Came::to_its_end);
        CHECK(elsewhere([&] { return lock.try_lock(); }) == Came::to_its_end);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE(
    "who waits for a condition with an RLock held twice, and is told that it is abandoned, "
    "recovers it to hold it once") {
    const mp::RLock lock;
    const mp::Condition changed;
    const mp::Event waiting;
    const Reports reports(1);
    const Copy waiter([&] {
        lock.lock();
        lock.lock();
        waiting.set();
        reports.report(0, [&] {
            try {
                changed.wait(lock);
            } catch (const muster::AbandonedLock&) {
                lock.recover();
                lock.unlock();
                return !lock.locked();
            }
            return false;
        });
    });
    REQUIRE(waiting.wait_for(patience));
    kill_holder_of(lock, 2);  // Has it only if the waiter let go of it wholly.
    changed.notify_one();
    REQUIRE(reports.wait_for_one());
    CHECK(reports[0] == Came::to_its_end);
    CHECK(lock.try_lock());
}

TEST_CASE_TEMPLATE(
    "who is killed while it waits for a condition leaves lock and condition to the "
    "others",
    L, mp::Lock, mp::RLock) {
    const std::uint64_t before = family_bytes();
    {
        const L lock;
        const mp::Condition changed;
        const mp::Semaphore waiting(0);
        const Reports reports(3);
        const auto waiter = [&](std::size_t i) {
            Copy copy([&, i] {
                reports.report(i, [&] {
                    const std::scoped_lock held(lock);
                    waiting.release();
                    return changed.wait_for(lock, patience);
                });
            });
            REQUIRE(waiting.try_acquire_for(patience));
            const std::scoped_lock held(lock);  // Now it waits.
            return copy;
        };
        Copy longest = waiter(0), first = waiter(1), middle = waiter(0), second = waiter(2);
        REQUIRE(longest.kill() == -SIGKILL);
        REQUIRE(middle.kill() == -SIGKILL);
        CHECK(lock.try_lock());
        lock.unlock();

        // One notification is one who lives, and goes on.
        changed.notify_one();
        REQUIRE(reports.wait_for_one());
        CHECK(reports[1] == Came::to_its_end);
        CHECK(reports[2] == Came::not_yet);
        changed.notify_one();
        REQUIRE(reports.wait_for_one());
        CHECK(reports[2] == Came::to_its_end);
        CHECK(reports[0] == Came::not_yet);
    }
    CHECK(family_bytes() == before);
}

}  // namespace multiprocessing_lock_deaths_test
