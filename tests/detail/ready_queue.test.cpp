// SPDX-License-Identifier: MIT
// ctest: concurrency
#include <muster/detail/ready_queue.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace detail_ready_queue_test {

namespace {

using muster::detail::LocalQueue;
using muster::detail::ReadyQueue;
using muster::detail::Runnable;

constexpr std::int64_t any_age = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t none = std::numeric_limits<std::int64_t>::min();

struct Item final : Runnable {
    explicit Item(int priority_of, std::int64_t time = 0) {
        priority = priority_of;
        submitted_ns = time;
    }
    void run(muster::detail::RunContext&) noexcept override {}
    void run_ahead(muster::detail::RunContext&) noexcept override {}
    void abandon() noexcept override {}
};

}  // namespace

TEST_CASE("an empty queue has nothing") {
    ReadyQueue queue;
    LocalQueue local;
    CHECK(queue.empty());
    CHECK_FALSE(queue.urgent());
    CHECK(queue.pop(local, 2, any_age) == nullptr);
    CHECK(queue.pop_any() == nullptr);
    CHECK(local.pop() == nullptr);
}

TEST_CASE("the queue gives the highest priority first, equals in the order of their pushes") {
    std::minstd_rand random(1);  // NOLINT(cert-msc51-cpp): the same each time.
    for (int round = 0; round < 200; ++round) {
        ReadyQueue queue;
        LocalQueue unused;
        std::deque<Item> items;
        std::vector<Item*> model;
        for (int step = 0; step < 200; ++step) {
            if (random() % 3 != 0) {
                items.emplace_back(static_cast<int>(random() % 5) - 2, step);
                queue.push(items.back());
                model.insert(std::upper_bound(model.begin(), model.end(), &items.back(),
                                              [](const Item* one, const Item* other) {
                                                  return one->priority > other->priority;
                                              }),
                             &items.back());
            } else if (!model.empty()) {
                // pop() leaves low priorities to pop_any().
                const bool any = model.front()->priority < 0 || random() % 2 == 0;
                REQUIRE((any ? queue.pop_any() : queue.pop(unused, 0, any_age)) == model.front());
                model.erase(model.begin());
            }
            REQUIRE(queue.empty() == model.empty());
            REQUIRE(queue.urgent() == (!model.empty() && model.front()->priority > 0));
        }
        for (Item* const expected : model) REQUIRE(queue.pop_any() == expected);
        REQUIRE(queue.empty());
        REQUIRE(unused.empty());
    }
}

TEST_CASE("low priorities are left to those who take anything") {
    ReadyQueue queue;
    LocalQueue local;
    Item low(-1);
    queue.push(low);
    CHECK_FALSE(queue.empty());
    CHECK(queue.pop(local, 1, any_age) == nullptr);
    CHECK(queue.pop_any() == &low);
    CHECK(queue.empty());
}

TEST_CASE("only what is older than asked for is given, but all that is urgent") {
    ReadyQueue queue;
    LocalQueue local;
    Item normal(0, 10);
    Item urgent(1, 20);
    queue.push(normal);
    queue.push(urgent);
    CHECK(queue.pop(local, 0, none) == &urgent);
    CHECK(queue.pop(local, 0, none) == nullptr);
    CHECK(queue.pop(local, 0, 10) == nullptr);
    CHECK(queue.pop(local, 0, 11) == &normal);
}

TEST_CASE("a part of what is left goes to the worker with the first, in order, at most 64") {
    ReadyQueue queue;
    LocalQueue local;
    std::deque<Item> items;
    for (int i = 0; i < 1001; ++i) queue.push(items.emplace_back(0, i));

    CHECK(queue.pop(local, 4, any_age) == &items[0]);
    for (std::size_t i = 1; i <= 64; ++i) REQUIRE(local.pop() == &items[i]);
    CHECK(local.empty());
    while (queue.pop(local, 0, any_age)) {
    }
    for (std::size_t i = 0; i < 9; ++i) queue.push(items[i]);
    CHECK(queue.pop(local, 4, any_age) == &items[0]);
    CHECK(local.pop() == &items[1]);
    CHECK(local.pop() == &items[2]);
    CHECK(local.pop() == nullptr);
    CHECK(queue.pop(local, 4, any_age) == &items[3]);
}

TEST_CASE("a worker's own queue is first in, first out, and takes back what is newest") {
    LocalQueue local;
    std::deque<Item> items;
    for (int i = 0; i < 4; ++i) local.push(items.emplace_back(0, i));

    CHECK_FALSE(local.pop_if_newest(items[2]));
    CHECK(local.pop_if_newest(items[3]));
    CHECK(local.pop_if_newest(items[2]));
    CHECK(local.pop() == &items[0]);
    CHECK(local.pop() == &items[1]);
    CHECK(local.empty());
    CHECK_FALSE(local.pop_if_newest(items[0]));
}

TEST_CASE("a worker's own queue tells the age of what its tasks made") {
    LocalQueue local;
    Item from_outside(0, 5);
    Item from_inside(0, 7);
    from_inside.from_inside = true;
    std::int64_t age = 0;
    CHECK_FALSE(local.front_from_inside(age));
    local.push(from_outside);
    local.push(from_inside);
    CHECK_FALSE(local.front_from_inside(age));
    local.pop();
    CHECK(local.front_from_inside(age));
    CHECK(age == 7);
}

TEST_CASE("a thief gets the older half, at most 16, and the oldest to run") {
    std::deque<Item> items;
    for (const std::size_t count : {1u, 2u, 5u, 100u}) {
        CAPTURE(count);
        items.clear();
        LocalQueue victim;
        LocalQueue thief;
        CHECK(victim.steal_into(thief) == nullptr);
        for (std::size_t i = 0; i < count; ++i) victim.push(items.emplace_back(0));
        const std::size_t stolen = std::min<std::size_t>((count + 1) / 2, 16);

        CHECK(victim.steal_into(thief) == &items[0]);

        for (std::size_t i = 1; i < stolen; ++i) REQUIRE(thief.pop() == &items[i]);
        CHECK(thief.empty());
        for (std::size_t i = stolen; i < count; ++i) REQUIRE(victim.pop() == &items[i]);
        CHECK(victim.empty());
    }
}

TEST_CASE("what several threads push and take is taken once, each thread's in its order") {
    constexpr std::size_t pushers = 2;
    constexpr std::size_t each = 2000;
    ReadyQueue queue;
    std::deque<Item> items;
    for (std::size_t i = 0; i < pushers * each; ++i) {
        items.emplace_back(static_cast<int>(i % 3));
        items.back().from_inside = i / each == 1;  // Used here to tell whose it is.
    }
    std::vector<std::thread> threads;
    for (std::size_t pusher = 0; pusher < pushers; ++pusher)
        threads.emplace_back([&, pusher] {
            for (std::size_t i = 0; i < each; ++i) queue.push(items[pusher * each + i]);
        });
    std::atomic<std::size_t> taken{0};
    std::vector<std::vector<const Runnable*>> by_taker(2);
    for (auto& mine : by_taker)
        threads.emplace_back([&] {
            LocalQueue local;
            while (taken.load() < pushers * each) {
                Runnable* task = local.pop();
                if (!task) task = queue.pop(local, 4, any_age);
                if (!task) {
                    std::this_thread::yield();
                    continue;
                }
                mine.push_back(task);
                ++taken;
            }
        });
    for (std::thread& thread : threads) thread.join();

    std::set<const Runnable*> all;
    for (const auto& mine : by_taker) all.insert(mine.begin(), mine.end());
    CHECK(all.size() == pushers * each);
    CHECK(by_taker[0].size() + by_taker[1].size() == pushers * each);
    CHECK(queue.empty());
    CHECK_FALSE(queue.urgent());
}

}  // namespace detail_ready_queue_test
