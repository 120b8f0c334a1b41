// SPDX-License-Identifier: MIT
// ctest: concurrency
// In which order a thread pool begins its tasks.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/event.hpp"
#include "support/held_pool.hpp"
#include "support/task_gate.hpp"

namespace thread_pool_order_test {

namespace {

using muster::ThreadPoolExecutor;
using muster::test::Event;
using muster::test::HeldPool;
using muster::test::TaskGate;

// Notes what tasks say, in order.
class Notes {
  public:
    void add(int number) {
        const std::lock_guard held(mutex_);
        numbers_.push_back(number);
    }
    std::vector<int> numbers() const {
        const std::lock_guard held(mutex_);
        return numbers_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<int> numbers_;
};

}  // namespace

TEST_CASE("higher priorities are begun first, equals in order") {
    muster::ThreadPoolExecutor pool(1);
    TaskGate gate;
    pool.post(TaskGate::pass, gate.path(), 'a');
    gate.arrival();
    const std::vector<std::pair<int, char>> tasks{{0, 'f'},  {-1, 'i'}, {2, 'b'}, {0, 'g'},
                                                  {-2, 'k'}, {1, 'd'},  {2, 'c'}, {1, 'e'},
                                                  {0, 'h'},  {-1, 'j'}};

    for (const auto& [priority, letter] : tasks)
        pool.post({.priority = priority}, TaskGate::arrive, gate.path(), letter);
    gate.open();
    pool.wait_idle();

    CHECK(gate.arrived() == "bcdefghijk");
}

TEST_CASE("tasks begin in the order of their submission") {
    HeldPool held;
    Notes notes;
    std::vector<int> expected;
    for (int i = 0; i < 300; ++i) {
        held.pool.post([&notes, i] { notes.add(i); });
        expected.push_back(i);
    }
    held.gate.set();
    held.pool.wait_idle();
    CHECK(notes.numbers() == expected);
}

TEST_CASE("tasks submitted by tasks take their place in the order too") {
    HeldPool held;
    Notes notes;
    for (int i = 0; i < 20; ++i)
        held.pool.post([&, i] {
            notes.add(i);
            held.pool.post([&, i] { notes.add(100 + i); });
        });
    held.gate.set();
    held.pool.wait_idle();

    // The twenty were there before any that they submitted.
    std::vector<int> expected;
    for (int i = 0; i < 20; ++i) expected.push_back(i);
    for (int i = 0; i < 20; ++i) expected.push_back(100 + i);
    CHECK(notes.numbers() == expected);
}

TEST_CASE("submissions from inside and outside are run in the order in which they were made") {
    ThreadPoolExecutor pool(1);
    Notes notes;
    std::vector<int> expected;
    const Event ended;
    pool.post([&, ended] {
        for (int i = 0; i < 20; ++i) {
            const int inside = 2 * i;
            pool.post([&notes, inside] { notes.add(inside); });
            // Another thread, while this task runs.
            std::thread([&] { pool.post([&notes, inside] { notes.add(inside + 1); }); }).join();
        }
        ended.set();
    });
    for (int i = 0; i < 40; ++i) expected.push_back(i);
    ended.wait();
    pool.wait_idle();
    CHECK(notes.numbers() == expected);
}

TEST_CASE("priorities hold for tasks submitted by tasks") {
    ThreadPoolExecutor pool(1);
    Notes notes;
    const auto note = [&](int number) { return [&notes, number] { notes.add(number); }; };
    pool.submit([&] {
            for (const auto& [priority, number] : std::vector<std::pair<int, int>>{
                     {0, 3}, {-1, 6}, {5, 1}, {0, 4}, {-1, 7}, {5, 2}, {0, 5}})
                pool.post({.priority = priority}, note(number));
        })
        .result();
    pool.wait_idle();
    CHECK(notes.numbers() == std::vector{1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("an urgent task passes those that wait, not the one that runs") {
    HeldPool held;
    Notes notes;
    for (int i = 0; i < 200; ++i)
        held.pool.post([&, i] {
            notes.add(i);
            if (i == 3) held.pool.post({.priority = 1}, [&] { notes.add(1000); });
        });
    held.pool.post({.priority = 1}, [&] { notes.add(2000); });
    held.gate.set();
    held.pool.wait_idle();

    const std::vector<int> numbers = notes.numbers();
    REQUIRE(numbers.size() == 202);
    CHECK(std::vector(numbers.begin(), numbers.begin() + 6) == std::vector{2000, 0, 1, 2, 3, 1000});
    CHECK(numbers.back() == 199);
}

TEST_CASE("a task of lowest priority runs when nothing else waits") {
    HeldPool held;
    Notes notes;
    held.pool.post({.priority = std::numeric_limits<int>::min()}, [&] {
        notes.add(3);
        held.pool.post([&] { notes.add(4); });
    });
    held.pool.post([&] {
        notes.add(1);
        held.pool.post([&] { notes.add(2); });
    });
    held.pool.post({.priority = std::numeric_limits<int>::max()}, [&] { notes.add(0); });
    held.gate.set();
    held.pool.wait_idle();
    CHECK(notes.numbers() == std::vector{0, 1, 2, 3, 4});
}

}  // namespace thread_pool_order_test
