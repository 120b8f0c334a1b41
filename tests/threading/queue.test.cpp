// SPDX-License-Identifier: MIT
// ctest: concurrency
// What queues of threads promise beyond tests/sync/queue.test.cpp. The names in brackets are those
// of the cases of CPython's test_queue.py.
#include <doctest/doctest.h>

#include <muster/threading/queue.hpp>
#include <muster/threading/thread.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sync/backends.hpp"

namespace threading_queue_test {

namespace {

using muster::QueueShutDown;
using muster::test::drain;
using muster::test::falls_asleep;
using muster::test::patience;
using muster::threading::LifoQueue;
using muster::threading::PriorityQueue;
using muster::threading::Queue;
using muster::threading::Thread;
using namespace std::chrono_literals;

struct Task {
    int priority;
    int number;
    bool operator<(const Task& other) const { return priority < other.priority; }
};

}  // namespace

TEST_CASE("a LifoQueue gives the newest item first [test_basic]") {
    const LifoQueue<int> queue(3);
    for (int round = 0; round < 2; ++round) {
        for (const int x : {111, 333, 222}) queue.put(x);
        CHECK_FALSE(queue.try_put(444));
        CHECK(drain(queue) == std::vector{222, 333, 111});
        CHECK(queue.empty());
    }
}

TEST_CASE("a PriorityQueue gives the smallest item first, and equals in order [test_basic]") {
    const PriorityQueue<int> queue(3);
    for (int round = 0; round < 2; ++round) {
        for (const int x : {111, 333, 222}) queue.put(x);
        CHECK_FALSE(queue.try_put(444));
        CHECK(drain(queue) == std::vector{111, 222, 333});
        CHECK(queue.empty());
    }
    const PriorityQueue<Task> tasks;
    for (int i = 0; i < 20; ++i) tasks.put(Task{i % 3, i});
    int priority = 0;
    int number = -1;
    for (const Task& task : drain(tasks)) {
        if (task.priority != priority) number = -1;
        CHECK(task.priority >= priority);
        CHECK(task.number > number);
        priority = task.priority;
        number = task.number;
    }
    const PriorityQueue<std::string> texts;  // Of what becomes an item, too.
    texts.put("b");
    texts.put("a");
    CHECK(texts.get() == "a");
}

TEST_CASE_TEMPLATE(
    "every kind of queue is shut down in the same way [test_shutdown_nonempty, "
    "test_shutdown_immediate]",
    Q, Queue<int>, LifoQueue<int>, PriorityQueue<int>) {
    const Q queue;
    const Q copy = queue;
    queue.put(1);
    queue.put(1);
    copy.shutdown();
    CHECK_THROWS_AS(queue.put(2), QueueShutDown);
    CHECK(queue.get() == 1);
    queue.shutdown(true);
    CHECK(queue.get() == std::nullopt);
    CHECK_FALSE(copy.join_for(0s));
    queue.task_done();
    copy.join();
}

TEST_CASE("getters are served in the order in which they came") {
    const Queue<int> queue;
    const Queue<std::pair<int, int>> got;
    std::vector<Thread> getters;
    getters.reserve(3);
    for (int i = 0; i < 3; ++i) {
        getters.emplace_back([=] { got.put(std::pair(i, queue.get().value())); });
        getters.back().start();
        CHECK(falls_asleep(getters.back()));
    }
    for (int i = 0; i < 3; ++i) {
        queue.put(i);
        CHECK(got.get_for(patience) == std::pair(i, i));
    }
}

}  // namespace threading_queue_test
