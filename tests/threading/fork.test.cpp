// SPDX-License-Identifier: MIT
// ctest: concurrency
// A copy of the process made by fork() while threads run. The names in brackets are those of the
// cases of CPython's test_threading.py and lock_tests.py.
#include <doctest/doctest.h>
#include <unistd.h>

#include <muster/threading.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "support/in_copy.hpp"
#include "sync/backends.hpp"

namespace threading_fork_test {

namespace {

using muster::test::falls_asleep;
using muster::test::in_copy;
using muster::test::patience;
using muster::threading::Barrier;
using muster::threading::Condition;
using muster::threading::current_thread;
using muster::threading::Event;
using muster::threading::Lock;
using muster::threading::Queue;
using muster::threading::Semaphore;
using muster::threading::Thread;

}  // namespace

TEST_CASE("in a copy of the process its threads have ended [test_2_join_in_forked_process]") {
    const Event gate;
    auto thread = std::make_unique<Thread>([gate] { gate.wait(); });
    auto ended = std::make_unique<Thread>([] {});
    auto fresh = std::make_unique<Thread>([] {});
    thread->start();
    ended->start();
    while (ended->is_alive()) {
    }
    CHECK(in_copy([&] {
              if (thread->is_alive()) return 1;
              thread->join();
              ended->join();
              thread.reset();
              ended.reset();
              fresh->start();
              fresh->join();
              return fresh->is_alive() ? 2 : 0;
          }) == 0);
    CHECK(thread->is_alive());
    gate.set();
    thread->join();
}

TEST_CASE(
    "in a copy of the process the thread that forked goes on [test_main_thread_after_fork, "
    "test_main_thread_after_fork_from_nonmain_thread, test_reinit_tls_after_fork]") {
    int code = -1;
    std::optional<muster::threading::ThreadInfo> info;
    const Thread thread({.name = "forking"}, [&] {
        info = current_thread();
        const long long before = info->id();
        code = in_copy([&] {
            if (info->id() != ::getpid() || !info->is_alive()) return 5;
            if (!current_thread().is_alive()) return 1;
            if (current_thread().name() != "forking") return 2;
            if (current_thread().id() != ::getpid()) return 3;
            if (info->id() == before || !info->is_alive()) return 4;
            return 0;
        });
    });
    thread.start();
    thread.join();
    CHECK(code == 0);
    CHECK(in_copy([] {
              const Thread other{[] {}};
              other.start();
              return current_thread().name() == "MainThread" && other.id() != ::getpid() ? 0 : 1;
          }) == 0);
}

TEST_CASE("a lock is held in a copy of the process as before [test_at_fork_reinit]") {
    const Lock lock;
    const Event event;
    lock.lock();
    CHECK(in_copy([&] {
              if (lock.try_lock()) return 1;
              lock.unlock();
              if (!lock.try_lock()) return 2;
              event.set();
              event.wait();
              return 0;
          }) == 0);
    CHECK(lock.locked());
    CHECK_FALSE(event.is_set());
    lock.unlock();
}

TEST_CASE("in a copy of the process a permit is not given to who waited before") {
    const Semaphore permits{0};
    const Thread before{[permits] { permits.acquire(); }};
    before.start();
    CHECK(falls_asleep(before));
    CHECK(in_copy([&] {
              permits.release();
              return permits.try_acquire() ? 0 : 1;
          }) == 0);
    CHECK(before.is_alive());
    permits.release();
    CHECK(before.join_for(patience));
}

TEST_CASE("in a copy of the process a notification is not for who waited before") {
    const Lock lock;
    const Condition changed;
    const Thread before{[lock, changed] {
        std::unique_lock held(lock);
        changed.wait(held);
    }};
    before.start();
    CHECK(falls_asleep(before));
    CHECK(in_copy([&] {
              std::unique_lock held(lock);
              const Thread notifier{[lock, changed] {
                  const std::lock_guard until_it_waits(lock);
                  changed.notify_one();
              }};
              notifier.start();
              return changed.wait_for(held, patience) ? 0 : 1;
          }) == 0);
    CHECK(before.is_alive());
    changed.notify_one();
    CHECK(before.join_for(patience));
}

TEST_CASE("in a copy of the process an item does not wake who waited before") {
    const Queue<int> queue;
    const Thread before{[queue] { (void)queue.get(); }};
    before.start();
    CHECK(falls_asleep(before));
    CHECK(in_copy([&] {
              std::optional<int> item;
              const Thread now{[&] { item = queue.get_for(patience); }};
              now.start();
              if (!falls_asleep(now)) return 1;
              queue.put(7);
              now.join();
              return item == 7 ? 0 : 2;
          }) == 0);
    CHECK(before.is_alive());
    queue.put(8);
    CHECK(before.join_for(patience));
}

TEST_CASE("in a copy of the process a barrier does not count who waited before") {
    const Barrier barrier{2};
    const Thread before{[barrier] { barrier.wait(); }};
    before.start();
    CHECK(falls_asleep(before));
    CHECK(in_copy([&] {
              if (barrier.n_waiting() != 0) return 1;
              bool passed = false;
              const Thread now{[&] { passed = barrier.wait_for(patience); }};
              now.start();
              const bool passed_too = barrier.wait_for(patience);
              now.join();
              return passed && passed_too ? 0 : 2;
          }) == 0);
    CHECK(barrier.n_waiting() == 1);
    barrier.wait();
    CHECK(before.join_for(patience));
}

TEST_CASE("in a copy of the process nobody runs the action of a barrier that ran before") {
    const Event begun, gate;
    const Barrier barrier{1, [begun, gate] {
                              begun.set();
                              gate.wait();
                          }};
    const Thread before{[barrier] { barrier.wait(); }};
    before.start();
    begun.wait();
    CHECK(falls_asleep(before));
    CHECK(in_copy([&] {
              gate.set();
              return barrier.wait_for(patience) ? 0 : 1;
          }) == 0);
    CHECK(before.is_alive());
    gate.set();
    CHECK(before.join_for(patience));
}

}  // namespace threading_fork_test
