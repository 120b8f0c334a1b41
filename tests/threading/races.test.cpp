// SPDX-License-Identifier: MIT
// ctest: concurrency
// Calls of primitives that race with each other.
#include <doctest/doctest.h>

#include <muster/threading.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>

#include "support/race.hpp"
#include "sync/backends.hpp"

namespace threading_races_test {

namespace {

using muster::test::patience;
using muster::test::race;
using muster::threading::Condition;
using muster::threading::Event;
using muster::threading::Lock;
using muster::threading::Queue;
using muster::threading::RLock;
using muster::threading::Semaphore;
using muster::threading::Thread;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE_TEMPLATE("what a lock guards is changed by one thread at a time", L, Lock, RLock) {
    L lock;
    int shared = 0;
    const auto add = [&](std::size_t) {
        for (int i = 0; i < 200; ++i) {
            const std::lock_guard held(lock);
            const int seen = shared;
            if (i % 10 == 0) std::this_thread::yield();
            shared = seen + 1;
        }
    };
    const auto try_add = [&](std::size_t) {
        for (int i = 0; i < 200;) {
            if (!lock.try_lock_for(1us)) continue;
            ++shared;
            ++i;
            lock.unlock();
        }
    };
    race(5, add, add, try_add);
    CHECK(shared == 3000);
}

TEST_CASE("the standard library's condition variable takes our locks") {
    Lock lock;
    std::condition_variable_any changed;
    bool ready = false;
    const Thread thread{[&] {
        const std::lock_guard held(lock);
        ready = true;
        changed.notify_one();
    }};
    std::unique_lock held(lock);
    thread.start();
    CHECK(changed.wait_for(held, patience, [&] { return ready; }));
}

TEST_CASE("a permit that comes as the time is up is either taken or stays") {
    const Semaphore semaphore{0};
    int taken = 0;
    race(
        500, [&](std::size_t) { taken += semaphore.try_acquire_for(20us) ? 1 : 0; },
        [&](std::size_t) { semaphore.release(); });
    int left = 0;
    while (semaphore.try_acquire()) ++left;
    CHECK(taken + left == 500);
}

TEST_CASE("an item that comes as the time is up is either taken or stays") {
    const Queue<std::size_t> queue;
    std::size_t taken = 0;
    race(
        500, [&](std::size_t) { taken += queue.get_for(20us) ? 1U : 0U; },
        [&](std::size_t i) { queue.put(i); });
    CHECK(taken + queue.size() == 500);
}

TEST_CASE("a notification that comes as the time is up wakes somebody, and one alone") {
    const Condition condition;
    Lock lock;
    const Queue<int> waits;     // The patient one is about to wait,
    const Queue<int> notified;  // and was notified.
    const Event quit;
    const Thread patient{[&] {
        std::unique_lock held(lock);
        while (!quit.is_set()) {
            waits.put(1);
            condition.wait(held);
            notified.put(1);
        }
    }};
    int lost = 0;
    int doubled = 0;
    for (int i = 0; i < 300 && lost == 0; ++i) {
        const Event begun;
        std::atomic<bool> hasty_notified{false};
        const Thread hasty{[&, begun] {
            std::unique_lock held(lock);
            begun.set();
            hasty_notified = condition.wait_for(held, 50us);
        }};
        hasty.start();
        begun.wait();
        if (i == 0) patient.start();
        if (i == 0) (void)waits.get_for(patience);
        lock.lock();  // Both wait, or the hasty one has given up.
        lock.unlock();
        condition.notify_one();
        hasty.join();
        if (hasty_notified) {
            doubled += notified.try_get() ? 1 : 0;
        } else if (notified.get_for(patience)) {
            (void)waits.get_for(patience);
        } else {
            ++lost;
        }
    }
    quit.set();
    lock.lock();
    lock.unlock();
    condition.notify_all();
    CHECK(lost == 0);
    CHECK(doubled == 0);
    CHECK(patient.join_for(patience));
}

TEST_CASE("what wakes a thread may be destroyed by it at once") {
    for (int i = 0; i < 200; ++i) {
        auto event = std::make_unique<Event>();
        auto semaphore = std::make_unique<Semaphore>(0);
        auto queue = std::make_unique<Queue<int>>();
        const Thread thread{[&] {
            event->set();
            semaphore->release();
            queue->put(1);
        }};
        thread.start();
        event->wait();
        event.reset();
        semaphore->acquire();
        semaphore.reset();
        CHECK(queue->get() == 1);
        queue.reset();
    }
}

}  // namespace threading_races_test
