// SPDX-License-Identifier: MIT
// ctest: concurrency
// What CPython's test_threading.py asks of threads beyond tests/threading: copies of the process
// made by fork(), and the end of the program. The names in brackets are the cases' names there, or
// in lock_tests.py.
#include <doctest/doctest.h>

#include <muster/threading.hpp>

#include <cstdlib>
#include <string>
#include <vector>

#include "support/in_copy.hpp"
#include "support/notes.hpp"
#include "sync/backends.hpp"

namespace conformance_threading_test {

namespace {

using muster::InvalidStateError;
using muster::test::falls_asleep;
using muster::test::in_copy;
using muster::test::Notes;
using muster::test::patience;
using muster::threading::current_thread;
using muster::threading::Event;
using muster::threading::Lock;
using muster::threading::Queue;
using muster::threading::RLock;
using muster::threading::Semaphore;
using muster::threading::Thread;

// Runs it in another thread, and waits for that.
template <typename F>
void elsewhere(F fn) {
    const Thread thread{fn};
    thread.start();
    thread.join();
}

// Where exit handlers, which have no arguments, write.
std::string& notes_path() {
    static std::string path;
    return path;
}

// Threads that start one another; the last one adds up how many there were.
int generations(int depth) {
    int below = 0;
    if (depth > 0) elsewhere([&] { below = generations(depth - 1); });
    return below + 1;
}

}  // namespace

TEST_CASE("threads start threads, which start threads [test_thread_from_thread]") {
    CHECK(generations(10) == 11);
}

TEST_CASE(
    "a thread that has just been started does not live in a copy [test_is_alive_after_fork]") {
    for (int i = 0; i < 20; ++i) {
        const Thread thread{[] {}};
        thread.start();
        CHECK(in_copy([&] { return thread.is_alive() ? 11 : 10; }) == 10);
        CHECK(thread.join_for(patience));
    }
}

TEST_CASE(
    "a copy has none of sixteen threads, and starts its own "
    "[test_clear_threads_states_after_fork, test_1_join_on_shutdown]") {
    const Event gate;
    std::vector<Thread> threads;
    threads.reserve(16);
    for (int i = 0; i < 16; ++i) {
        threads.emplace_back([gate] { gate.wait(); });
        threads.back().start();
    }
    for (const Thread& thread : threads) CHECK(falls_asleep(thread));
    CHECK(in_copy([&] {
              for (const Thread& thread : threads)
                  if (thread.is_alive() || !thread.join_for(patience)) return 1;
              int ran = 0;
              for (int i = 0; i < 16; ++i) elsewhere([&] { ++ran; });
              return ran;
          }) == 16);
    gate.set();
    for (const Thread& thread : threads) CHECK(thread.join_for(patience));
}

TEST_CASE("a copy made by a thread starts and joins threads [test_3_join_in_forked_from_thread]") {
    int code = 0;
    elsewhere([&] {
        code = in_copy([] {
            int ran = 0;
            elsewhere([&] { ran = 7; });
            return ran;
        });
    });
    CHECK(code == 7);
}

TEST_CASE(
    "locks, permits and items are in a copy as they were, and its own [test_at_fork_reinit]") {
    const RLock lock;
    const Semaphore semaphore{2};
    const Queue<int> queue;
    lock.lock();
    lock.lock();
    semaphore.acquire();
    queue.put(5);
    CHECK(in_copy([&] {
              lock.unlock();
              lock.unlock();
              try {
                  lock.unlock();
                  return 1;
              } catch (const InvalidStateError&) {
              }
              bool free = false;
              elsewhere([&] { free = lock.try_lock(); });
              if (!free || lock.try_lock()) return 2;
              if (!semaphore.try_acquire() || semaphore.try_acquire()) return 3;
              if (queue.get() != 5) return 4;
              return queue.empty() ? 0 : 5;
          }) == 0);
    CHECK(lock.locked());
    CHECK(semaphore.try_acquire());
    CHECK(queue.size() == 1);
    lock.unlock();
    lock.unlock();
    CHECK_FALSE(lock.locked());
}

TEST_CASE("a program ends while daemons use locks and queues [test_4_daemon_threads]") {
    for (int i = 0; i < 5; ++i) {
        CHECK(in_copy([] {
                  const Lock lock;
                  const Queue<int> queue(3);
                  const Queue<int> rounds(1);
                  for (int n = 0; n < 10; ++n) {
                      const Thread daemon({.daemon = true}, [=] {
                          for (;;) {
                              lock.lock();
                              (void)queue.try_put(1);
                              lock.unlock();
                              (void)queue.try_get();
                              (void)rounds.try_put(1);
                          }
                      });
                      daemon.start();
                  }
                  return rounds.get_for(patience) ? 6 : 7;
              }) == 6);
    }
}

TEST_CASE(
    "exit handlers run once, whoever made them, and use threads [test_atexit_called_once, "
    "test_main_thread_during_shutdown, test_start_new_thread_at_finalization]") {
    const Notes notes;
    CHECK(in_copy([&] {
              notes_path() = notes.path();
              std::atexit([] {
                  Notes::add(notes_path(), current_thread().name());
                  elsewhere([] { Notes::add(notes_path(), "in a new thread"); });
              });
              elsewhere([] { std::atexit([] { Notes::add(notes_path(), "made in a thread"); }); });
              return 8;
          }) == 8);
    CHECK(notes.lines() ==
          std::vector<std::string>{"made in a thread", "MainThread", "in a new thread"});
}

}  // namespace conformance_threading_test
