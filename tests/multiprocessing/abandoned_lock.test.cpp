// SPDX-License-Identifier: MIT
// ctest: concurrency
// Whom AbandonedLock names.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_abandoned_lock_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::changing_steps;
using muster::test::Copy;
using muster::test::patience;
using muster::test::step;
using muster::test::stops;
using muster::test::wait_to_be_traced;

/// Kills a process that holds the lock. Which one it was.
template <typename L>
::pid_t kill_holder_of(const L& lock) {
    const mp::Event held;
    Copy holder([&] {
        lock.lock();
        held.set();
        for (;;) ::pause();
    });
    REQUIRE(held.wait_for(patience));
    const ::pid_t pid = holder.pid();
    REQUIRE(holder.kill() == -SIGKILL);
    return pid;
}

/// One that recovers the lock, stopped before.
template <typename L>
Copy make_recoverer(const L& lock) {
    Copy recoverer([&] {
        (void)lock.locked();  // A copy of a process gets a hold on it at its first use.
        wait_to_be_traced();
        lock.recover();
        (void)::raise(SIGSTOP);
    });
    REQUIRE(stops(recoverer));
    return recoverer;
}

/// Whether who tries to lock it is told that this process has died with the lock.
template <typename L>
bool says_died(const L& lock, ::pid_t pid) {
    try {
        if (lock.try_lock()) lock.unlock();
    } catch (const muster::AbandonedLock& error) {
        return std::string(error.what())
            .starts_with("muster: the process (pid " + std::to_string(pid) + ") that held ");
    }
    return false;
}

}  // namespace

TEST_CASE_TEMPLATE("it names who died with the lock, and never who is about to recover it", L,
                   mp::Lock, mp::RLock) {
    const L lock;
    ::pid_t dead = kill_holder_of(lock);
    CHECK(says_died(lock, dead));
    CHECK(Copy([&] { ::_exit(says_died(lock, dead) ? 7 : 1); }).join() == 7);

    Copy recoverer = make_recoverer(lock);
    while (!lock.locked()) {
        REQUIRE(says_died(lock, dead));
        REQUIRE(step(recoverer));
    }
    CHECK_FALSE(lock.try_lock());
    dead = recoverer.pid();
    REQUIRE(recoverer.kill() == -SIGKILL);
    CHECK(says_died(lock, dead));

    lock.recover();
    lock.unlock();
    dead = kill_holder_of(lock);
    CHECK(says_died(lock, dead));
}

TEST_CASE_TEMPLATE("it names who died with the lock also if those who are told of it die", L,
                   mp::Lock, mp::RLock) {
    for (const bool told_before : {false, true}) {
        CAPTURE(told_before);
        const L lock;
        const auto abandon = [&] {
            const ::pid_t dead = kill_holder_of(lock);
            if (told_before) REQUIRE(says_died(lock, dead));
            return dead;
        };
        (void)abandon();
        std::size_t killed = 0;
        bool recovered = false;
        for (const std::size_t steps : changing_steps(make_recoverer(lock))) {
            lock.recover();
            lock.unlock();
            const ::pid_t dead = abandon();
            Copy recoverer = make_recoverer(lock);
            const ::pid_t second = recoverer.pid();
            REQUIRE(step(recoverer, steps));
            REQUIRE(recoverer.kill() == -SIGKILL);
            recovered = says_died(lock, second);
            if (recovered) break;
            REQUIRE(says_died(lock, dead));
            ++killed;
        }
        CHECK(killed > 2);
        CHECK(recovered);
    }
}

}  // namespace multiprocessing_abandoned_lock_test
