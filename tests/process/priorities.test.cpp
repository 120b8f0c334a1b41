// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Which task is begun next, where several workers are handed tasks ahead.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/attempts.hpp"
#include "support/process_pool.hpp"
#include "support/task_gate.hpp"

namespace process_priorities_test {

namespace {

using muster::test::Attempts;
using muster::test::ProcessPool;
using muster::test::TaskGate;

/// When it was begun: the same clock in all processes.
std::int64_t begun(int microseconds) {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
    return std::chrono::nanoseconds(now).count();
}

/// Waits until both workers of a pool are there.
void warm_up(ProcessPool& pool) {
    TaskGate gate;
    std::vector<muster::Future<char>> tasks;
    for (int i = 0; i < 2; ++i) tasks.push_back(pool.submit(TaskGate::pass, gate.path(), 'w'));
    for (int i = 0; i < 2; ++i) (void)gate.arrival();
    gate.open();
    for (auto& task : tasks) (void)task.result();
}

}  // namespace

TEST_CASE("equals are begun in their order, whatever is cancelled and whoever is held up") {
    ProcessPool pool(1);
    for (int i = 0; i < 100; ++i) pool.submit([] {}).result();
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    const Attempts order;
    std::vector<muster::Future<int>> tasks;
    for (int i = 0; i < 20; ++i) tasks.push_back(pool.submit(Attempts::next, order.path()));
    for (std::size_t i = 0; i < 10; i += 2) CHECK(tasks[i].cancel());
    for (int i = 0; i < 20; ++i) tasks.push_back(pool.submit(Attempts::next, order.path()));
    gate.open();
    int place = 0;
    for (auto& task : tasks)
        if (!task.cancelled()) CHECK(task.result() == ++place);
    CHECK(place == 35);
}

TEST_CASE("a higher priority goes before what a worker was handed already") {
    ProcessPool pool(1);
    for (int i = 0; i < 100; ++i) pool.submit([] {}).result();  // Now much is handed out ahead.
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    const Attempts order;
    std::vector<muster::Future<int>> low;
    std::vector<muster::Future<int>> high;
    for (int i = 0; i < 300; ++i) low.push_back(pool.submit(Attempts::next, order.path()));
    for (int i = 0; i < 300; ++i)
        high.push_back(pool.submit({.priority = i % 3 + 1}, Attempts::next, order.path()));
    gate.open();
    std::vector<int> places;
    for (int priority = 3; priority > 0; --priority)
        for (std::size_t i = 0; i < high.size(); ++i)
            if (static_cast<int>(i) % 3 + 1 == priority) places.push_back(high[i].result());
    for (auto& task : low) places.push_back(task.result());
    for (std::size_t i = 0; i < places.size(); ++i) CHECK(places[i] == static_cast<int>(i) + 1);
}

TEST_CASE("whichever worker is free first begins the highest of what waits") {
    ProcessPool pool(2);
    warm_up(pool);
    std::vector<int> order{0, 1, 2, 3, 4};
    for (int round = 0; round < 60; ++round) {
        TaskGate gates[2];
        auto first = pool.submit({.priority = 9}, TaskGate::pass, gates[0].path(), 'a');
        auto second = pool.submit({.priority = 9}, TaskGate::pass, gates[1].path(), 'b');
        // At once, so that nobody knows yet how long those two take.
        std::vector<muster::Future<std::int64_t>> tasks(order.size());
        for (const int priority : order)
            tasks[static_cast<std::size_t>(priority)] =
                pool.submit({.priority = priority}, begun, 0);
        for (const TaskGate& gate : gates) (void)gate.arrival();
        gates[round % 2].open();
        std::vector<std::int64_t> times;
        for (auto& task : tasks) times.push_back(task.result());
        CAPTURE(round);
        CHECK(std::is_sorted(times.rbegin(), times.rend()));
        gates[1 - round % 2].open();
        (void)first.result();
        (void)second.result();
        std::next_permutation(order.begin(), order.end());
        if (round % 3 == 0) std::reverse(order.begin(), order.end());
    }
}

TEST_CASE("a task is begun before a higher one only if another worker was just given that one") {
    ProcessPool pool(2);
    warm_up(pool);
    TaskGate gate;
    std::vector<muster::Future<char>> held;
    for (int i = 0; i < 2; ++i)
        held.push_back(pool.submit({.priority = 9}, TaskGate::pass, gate.path(), 'a'));
    constexpr std::size_t count = 400;
    const auto priority_of = [](std::size_t task) { return static_cast<int>(task * 7 % 4); };
    std::vector<muster::Future<std::int64_t>> tasks;
    for (std::size_t i = 0; i < count; ++i)
        tasks.push_back(pool.submit({.priority = priority_of(i)}, begun,
                                    i % 50 == 0 ? 2000 : static_cast<int>(i % 3)));
    for (int i = 0; i < 2; ++i) (void)gate.arrival();
    gate.open();
    std::vector<std::pair<std::int64_t, int>> begins;
    for (std::size_t i = 0; i < count; ++i) begins.emplace_back(tasks[i].result(), priority_of(i));
    std::sort(begins.begin(), begins.end());
    int passed_by = 0;
    for (auto one = begins.begin(); one != begins.end(); ++one) {
        const auto higher = std::count_if(
            one, begins.end(), [&](const auto& later) { return later.second > one->second; });
        passed_by += higher > 1 ? 1 : 0;
    }
    CHECK(passed_by == 0);
}

}  // namespace process_priorities_test
