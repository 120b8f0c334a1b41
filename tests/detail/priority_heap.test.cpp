// SPDX-License-Identifier: MIT
#include <muster/detail/priority_heap.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>
#include <vector>

namespace detail_priority_heap_test {

namespace {

using muster::detail::PriorityHeap;

struct Item final : muster::detail::Runnable {
    explicit Item(int priority_of, std::int64_t time = 0) {
        priority = priority_of;
        submitted_ns = time;
    }
    void run(muster::detail::RunContext&) noexcept override {}
    void run_ahead(muster::detail::RunContext&) noexcept override {}
    void abandon() noexcept override {}
};

}  // namespace

TEST_CASE("an empty heap has nothing") {
    PriorityHeap heap;
    CHECK(heap.empty());
    CHECK(heap.top() == nullptr);
    CHECK(heap.pop() == nullptr);
}

TEST_CASE("the heap gives the highest priority first, equals in the order of their pushes") {
    std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp): the same each time.
    for (int round = 0; round < 200; ++round) {
        PriorityHeap heap;
        std::deque<Item> items;
        std::vector<Item*> model;
        const auto highest_first = [](const Item* one, const Item* other) {
            return one->priority > other->priority;
        };
        for (int step = 0; step < 200; ++step) {
            if (random() % 3 != 0) {
                // Time stamps repeat and go back, as clocks of different cores may.
                items.emplace_back(static_cast<int>(random() % 7) - 3,
                                   static_cast<std::int64_t>(random() % 5));
                heap.push(items.back());
                model.insert(
                    std::upper_bound(model.begin(), model.end(), &items.back(), highest_first),
                    &items.back());
            } else if (!model.empty()) {
                REQUIRE(heap.top() == model.front());
                REQUIRE(heap.pop() == model.front());
                model.erase(model.begin());
            }
            REQUIRE(heap.empty() == model.empty());
        }
        for (Item* const expected : model) REQUIRE(heap.pop() == expected);
        REQUIRE(heap.empty());
    }
}

TEST_CASE("the heap takes many of one priority, and the extremes") {
    PriorityHeap heap;
    std::deque<Item> items;
    for (int i = 0; i < 10000; ++i) heap.push(items.emplace_back(1));
    Item lowest(std::numeric_limits<int>::min());
    Item highest(std::numeric_limits<int>::max());
    heap.push(lowest);
    heap.push(highest);

    CHECK(heap.pop() == &highest);
    bool in_order = true;
    for (Item& item : items) in_order = in_order && heap.pop() == &item;
    CHECK(in_order);
    CHECK(heap.pop() == &lowest);
    CHECK(heap.empty());
}

TEST_CASE("what was popped may be pushed again") {
    PriorityHeap heap;
    Item one(1);
    Item two(1);
    heap.push(one);
    heap.push(two);
    CHECK(heap.pop() == &one);
    heap.push(one);
    CHECK(heap.pop() == &two);
    CHECK(heap.pop() == &one);
}

}  // namespace detail_priority_heap_test
