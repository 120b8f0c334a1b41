// SPDX-License-Identifier: MIT
// ctest: concurrency
// What queues do with their items. The names in brackets are those of the cases of CPython's
// test_queue.py.
#include <doctest/doctest.h>

#include <muster/threading/queue.hpp>
#include <muster/threading/thread.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sync/backends.hpp"

namespace threading_queue_items_test {

namespace {

using muster::QueueShutDown;
using muster::test::drain;
using muster::test::falls_asleep;
using muster::test::next;
using muster::test::patience;
using muster::threading::LifoQueue;
using muster::threading::PriorityQueue;
using muster::threading::Queue;
using muster::threading::Thread;
using namespace std::chrono_literals;

// An item whose moves and comparisons throw on demand.
struct Fragile {
    explicit Fragile(int number) : value{number} {}
    Fragile(Fragile&& other) : value{other.value} {
        if (moves_throw) throw std::runtime_error("move");
        other.value = -1;
    }
    bool operator<(const Fragile& other) const {
        if (comparisons_throw) throw std::runtime_error("compare");
        return value < other.value;
    }
    int value;
    static inline std::atomic<bool> moves_throw{false};
    static inline std::atomic<bool> comparisons_throw{false};
};

// An item that can be moved so often; then one move throws, and the next does not.
struct Bomb {
    Bomb(int number, int moves) : value{number}, moves_left{moves} {}
    Bomb(Bomb&& other) : value{other.value}, moves_left{other.moves_left - 1} {
        if (other.moves_left != 0) return;
        other.moves_left = 100;
        throw std::runtime_error("move");
    }
    int value;
    int moves_left;
};

// An item whose destructor calls what it was given.
struct AtEnd {
    std::function<void()> call;
    explicit AtEnd(std::function<void()> fn) : call{std::move(fn)} {}
    AtEnd(AtEnd&& other) noexcept : call{std::exchange(other.call, nullptr)} {}
    ~AtEnd() {
        if (call) call();
    }
};

}  // namespace

TEST_CASE_TEMPLATE("items need only be moved", Q, Queue<std::unique_ptr<int>>,
                   LifoQueue<std::unique_ptr<int>>, PriorityQueue<std::unique_ptr<int>>) {
    const Q queue(1);
    auto item = std::make_unique<int>(1);
    queue.put(std::move(item));
    CHECK(item == nullptr);
    CHECK(*queue.get().value() == 1);
    CHECK(queue.try_put(std::make_unique<int>(2)));
    CHECK(*queue.try_get().value() == 2);
}

TEST_CASE_TEMPLATE("an item that was not taken was not moved from", Q, Queue<std::unique_ptr<int>>,
                   LifoQueue<std::unique_ptr<int>>, PriorityQueue<std::unique_ptr<int>>) {
    const Q queue(1);
    queue.put(std::make_unique<int>(1));
    auto item = std::make_unique<int>(2);
    CHECK_FALSE(queue.try_put(std::move(item)));
    CHECK_FALSE(queue.put_for(std::move(item), 1ms));
    REQUIRE(item != nullptr);
    queue.shutdown();
    CHECK_THROWS_AS(queue.put(std::move(item)), QueueShutDown);
    REQUIRE(item != nullptr);
    CHECK(*item == 2);
}

TEST_CASE_TEMPLATE(
    "a move that throws leaves the queue as it was, and others get on "
    "[test_failing_queue]",
    Q, Queue<Fragile>, LifoQueue<Fragile>, PriorityQueue<Fragile>) {
    const Q queue(1);
    Fragile::moves_throw = true;
    CHECK_THROWS_AS(queue.put(Fragile(1)), std::runtime_error);
    CHECK(queue.empty());
    CHECK(queue.join_for(0s));
    Fragile::moves_throw = false;
    queue.put(Fragile(2));
    Fragile::moves_throw = true;
    CHECK_THROWS_AS((void)queue.get(), std::runtime_error);
    CHECK_THROWS_AS((void)queue.try_get(), std::runtime_error);
    CHECK(queue.full());
    Fragile::moves_throw = false;
    CHECK(queue.get()->value == 2);
    CHECK(queue.empty());
    queue.task_done();
    CHECK(queue.join_for(0s));
}

TEST_CASE(
    "who fails to move the item leaves it, or the room, to the next who waits "
    "[test_failing_queue]") {
    const Queue<Bomb> queue(1);
    const Queue<int> told;
    const auto get = [=] {
        try {
            told.put(queue.get()->value);
        } catch (const std::runtime_error&) {
            told.put(-1);
        }
    };
    const auto put = [=](int value, int moves) {
        try {
            queue.put(Bomb(value, moves));
            told.put(value);
        } catch (const std::runtime_error&) {
            told.put(-1);
        }
    };
    const auto waiting = [](auto... call) {
        auto thread = std::make_unique<Thread>(call...);
        thread->start();
        CHECK(falls_asleep(*thread));
        return thread;
    };
    {
        const auto one = waiting(get);
        const auto other = waiting(get);
        queue.put(Bomb(5, 1));  // Moved in, and not out at the first attempt.
        CHECK(next(told, 2) == std::vector{-1, 5});
    }
    queue.put(Bomb(6, 100));
    const auto one = waiting(put, 7, 0);
    const auto other = waiting(put, 8, 100);
    CHECK(queue.get()->value == 6);
    CHECK(next(told, 2) == std::vector{-1, 8});
    CHECK(queue.get()->value == 8);
}

TEST_CASE("a comparison that throws leaves the queue and the item as they were") {
    const PriorityQueue<Fragile> queue;
    for (const int x : {5, 1, 3}) queue.put(Fragile(x));
    Fragile item(2);
    Fragile::comparisons_throw = true;
    CHECK_THROWS_AS(queue.put(std::move(item)), std::runtime_error);
    Fragile::comparisons_throw = false;
    CHECK(item.value == 2);  // NOLINT(bugprone-use-after-move)
    CHECK(queue.size() == 3);
    queue.put(std::move(item));
    for (const int x : {1, 2, 3, 5}) CHECK(queue.get()->value == x);
}

TEST_CASE("an item's destructor may use its queue [test_reentrancy]") {
    const Queue<int> seen;
    const Queue<std::shared_ptr<AtEnd>> queue;
    // A copy that goes within get() or shutdown() would find the queue locked.
    const auto item = [&](int number) {
        return std::make_shared<AtEnd>([&seen, queue, number] {
            seen.put(number);
            seen.put(static_cast<int>(queue.size()));
        });
    };
    for (int i = 0; i < 3; ++i) queue.put(item(i));
    (void)queue.get();
    queue.shutdown(true);
    CHECK(drain(seen) == std::vector{0, 2, 1, 0, 2, 0});
}

TEST_CASE("a moved-from item's destructor may use the queue, too [test_reentrancy]") {
    struct Item {
        Item(const Queue<Item>* its_queue, std::atomic<int>* destroyed)
            : queue{its_queue}, count{destroyed} {}
        Item(Item&& other) noexcept = default;
        ~Item() {
            (void)queue->size();
            ++*count;
        }
        const Queue<Item>* queue;
        std::atomic<int>* count;
    };
    std::atomic<int> destroyed{0};
    const Queue<Item> queue;
    queue.put(Item(&queue, &destroyed));
    (void)queue.get();
    CHECK(destroyed >= 2);
}

TEST_CASE("the queue keeps nothing of what it gave [test_references]") {
    const auto value = std::make_shared<int>(1);
    const Queue<std::shared_ptr<int>> queue;
    for (int i = 0; i < 10; ++i) {
        queue.put(value);
        CHECK(value.use_count() == 2);
        CHECK(queue.get().value() == value);
        CHECK(value.use_count() == 1);
    }
}

TEST_CASE("a queue that goes takes its items along") {
    const auto value = std::make_shared<int>(1);
    {
        const PriorityQueue<std::shared_ptr<int>> queue;
        queue.put(value);
        queue.put(value);
        CHECK(value.use_count() == 3);
    }
    CHECK(value.use_count() == 1);
}

}  // namespace threading_queue_items_test
