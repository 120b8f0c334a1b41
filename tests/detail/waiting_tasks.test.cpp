// SPDX-License-Identifier: MIT
#include <muster/detail/process/waiting_tasks.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <random>
#include <span>
#include <vector>

namespace detail_waiting_tasks_test {

namespace {

using muster::detail::RemoteTask;
using muster::detail::TaskHandle;
using muster::detail::WaitingTasks;

struct Item final : RemoteTask {
    Item(std::uint64_t id_of, int priority_of) {
        id = id_of;
        priority = priority_of;
    }
    muster::detail::StateBase& state() noexcept override { std::terminate(); }
    void keep_value(std::span<const std::byte>) override {}
    void keep_error(std::exception_ptr) noexcept override {}
};

TaskHandle handle_of(Item& item) { return {{}, &item}; }

constexpr std::uint64_t rounds = 20'000;

/// Adds and withdraws many tasks, each after the next was added. Returns the most entries seen.
std::size_t slide(WaitingTasks& waiting, Item previous) {
    std::size_t most = 0;
    Item slots[2] = {{0, 0}, {0, 0}};
    waiting.add(handle_of(previous));
    Item* last = &previous;
    for (std::uint64_t round = 1; round <= rounds; ++round) {
        Item& next = slots[round % 2];
        next.id = previous.id + round;
        waiting.add(handle_of(next));
        if (waiting.withdraw(*last).task != last) return rounds;
        last = &next;
        most = std::max(most, waiting.entries());
    }
    (void)waiting.withdraw(*last);
    return most;
}

}  // namespace

TEST_CASE("waiting tasks go by priority and id, whatever is withdrawn or comes back") {
    std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp): the same each time.
    const auto before = [](const Item* one, const Item* other) {
        return one->priority != other->priority ? one->priority > other->priority
                                                : one->id < other->id;
    };
    for (int round = 0; round < 200; ++round) {
        WaitingTasks waiting;
        std::deque<Item> items;
        std::vector<Item*> model;
        std::vector<Item*> popped;
        const auto put = [&](Item* item) {
            waiting.add(handle_of(*item));
            REQUIRE(item->place == RemoteTask::Place::waiting);
            model.insert(std::lower_bound(model.begin(), model.end(), item, before), item);
        };
        for (int step = 0; step < 300; ++step) {
            const auto choice = random() % 8;
            if (choice < 3) {
                put(&items.emplace_back(items.size(), static_cast<int>(random() % 4) - 2));
            } else if (choice == 3 && !popped.empty()) {
                put(popped.back());  // As a worker gives back what it has not begun.
                popped.pop_back();
            } else if (choice < 6 && !model.empty()) {
                const auto chosen =
                    model.begin() + static_cast<std::ptrdiff_t>(random() % model.size());
                REQUIRE(waiting.withdraw(**chosen).task == *chosen);
                REQUIRE((*chosen)->place == RemoteTask::Place::nowhere);
                model.erase(chosen);
            } else if (!model.empty()) {
                REQUIRE(waiting.highest() == model.front()->priority);
                REQUIRE(waiting.pop().task == model.front());
                REQUIRE(model.front()->place == RemoteTask::Place::nowhere);
                popped.push_back(model.front());
                model.erase(model.begin());
            }
            REQUIRE(waiting.size() == model.size());
            REQUIRE(waiting.empty() == model.empty());
            REQUIRE(waiting.entries() <= 2 * model.size() + 1);
        }
        for (Item* const expected : model) REQUIRE(waiting.pop().task == expected);
        REQUIRE(waiting.empty());
    }
}

TEST_CASE("tasks that are added and withdrawn behind one that waits leave nothing") {
    WaitingTasks waiting;
    Item first(0, 0);
    waiting.add(handle_of(first));
    std::size_t most = 0;
    for (std::uint64_t round = 1; round <= rounds; ++round) {
        Item next(round, 0);
        waiting.add(handle_of(next));
        REQUIRE(waiting.withdraw(next).task == &next);
        most = std::max(most, waiting.entries());
    }
    CHECK(most <= 3);
    CHECK(waiting.pop().task == &first);
}

TEST_CASE("tasks that are withdrawn when the next is there leave nothing") {
    WaitingTasks waiting;
    Item first(0, 0);
    waiting.add(handle_of(first));
    CHECK(slide(waiting, Item(1, 0)) <= 5);
    CHECK(waiting.pop().task == &first);
    CHECK(slide(waiting, Item(1, 0)) <= 5);
    CHECK(waiting.empty());
}

TEST_CASE("priorities that no task has any more leave nothing, withdrawn or popped") {
    WaitingTasks waiting;
    Item first(0, 0);
    for (const bool with_another : {false, true}) {
        CAPTURE(with_another);
        if (with_another) waiting.add(handle_of(first));
        std::size_t most = 0;
        for (int priority = 1; priority <= 2'000; ++priority) {
            for (const bool popped : {false, true})
                for (const int sign : {-1, 1}) {
                    if (popped && with_another && sign < 0) continue;  // It would not be the first.
                    Item next(static_cast<std::uint64_t>(priority), sign * priority);
                    waiting.add(handle_of(next));
                    REQUIRE((popped ? waiting.pop() : waiting.withdraw(next)).task == &next);
                    most = std::max(most, waiting.entries());
                }
        }
        CHECK(most <= 3);
    }
    CHECK(waiting.pop().task == &first);
}

}  // namespace detail_waiting_tasks_test
