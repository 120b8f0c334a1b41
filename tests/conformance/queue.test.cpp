// SPDX-License-Identifier: MIT
// ctest: concurrency
// What CPython's test_queue.py asks of queues beyond tests/sync and tests/threading. The names in
// brackets are the cases' names there.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "sync/backends.hpp"

namespace conformance_queue_test {

namespace {

using muster::InvalidStateError;
using muster::QueueShutDown;
using muster::test::Crew;
using muster::test::falls_asleep;
using muster::test::next;
using muster::test::patience;
using muster::threading::LifoQueue;
using muster::threading::PriorityQueue;
using muster::threading::Queue;
using muster::threading::Thread;
using namespace std::chrono_literals;

// For TEST_CASE_TEMPLATE: what is Python's Queue, LifoQueue and PriorityQueue.
#ifdef TEST_THREAD_SANITIZER  // As for MUSTER_BACKENDS.
#define EVERY_QUEUE Queue<int>, LifoQueue<int>, PriorityQueue<int>
#else
#define EVERY_QUEUE \
    Queue<int>, LifoQueue<int>, PriorityQueue<int>, muster::multiprocessing::Queue<int>
#endif

template <typename B>
using Numbers = typename B::template Queue<int>;

// In which order they give 111, 333, 222.
template <typename Q>
std::vector<int> expected_order() {
    if (std::same_as<Q, LifoQueue<int>>) return {222, 333, 111};
    if (std::same_as<Q, PriorityQueue<int>>) return {111, 222, 333};
    return {111, 333, 222};
}

// Whether another thread waits in `call` until `release` is called here.
template <typename Call, typename Release>
bool waits_for(Call call, Release release) {
    const Thread thread{call};
    thread.start();
    const bool waits = falls_asleep(thread) && thread.is_alive();
    release();
    return thread.join_for(patience) && waits;
}

// How consumers ask for items.
enum class Ask { wait, poll, wait_a_moment };

std::optional<int> ask(const auto& queue, Ask how) {
    if (how == Ask::wait) return queue.get();
    for (;;) {
        const bool over = queue.is_shutdown();  // Before the item: later, one may have come.
        if (const auto item = how == Ask::poll ? queue.try_get() : queue.get_for(10us)) return item;
        if (over) return std::nullopt;
    }
}

// An item that cannot be written, or read, when its number says so.
struct Fragile {
    static constexpr int unwritable = -1;
    static constexpr int unreadable = -2;
    int number = 0;

    template <typename Archive>
    void save(Archive& ar) const {
        if (number == unwritable) throw std::runtime_error("cannot be written");
        ar(number);
    }
    template <typename Archive>
    void load(Archive& ar) {
        ar(number);
        if (number == unreadable) throw std::runtime_error("cannot be read");
    }
};

}  // namespace

TEST_CASE_TEMPLATE("a queue keeps its order, its bound and its word, twice [test_basic]", Q,
                   EVERY_QUEUE) {
    const Q queue(3);
    for (int round = 0; round < 2; ++round) {
        CHECK(queue.empty());
        for (const int x : {111, 333, 222}) {
            CHECK_FALSE(queue.full());
            queue.put(x);
            CHECK_FALSE(queue.empty());
        }
        CHECK(queue.size() == 3);
        CHECK(queue.full());
        CHECK_FALSE(queue.try_put(444));
        CHECK_FALSE(queue.put_for(444, 10ms));
        for (const int x : expected_order<Q>()) CHECK(queue.get() == x);
        CHECK(queue.empty());
        CHECK(queue.try_get() == std::nullopt);
        CHECK(queue.get_for(10ms) == std::nullopt);

        for (const int x : {1, 2, 3}) queue.put(x);
        CHECK(waits_for([=] { queue.put(4); }, [&] { CHECK(queue.get().has_value()); }));
        CHECK(waits_for([=] { (void)queue.put_for(5, patience); },
                        [&] { CHECK(queue.get().has_value()); }));
        while (queue.try_get()) continue;
        CHECK(waits_for([=] { (void)queue.get(); }, [&] { queue.put(6); }));
        CHECK(waits_for([=] { (void)queue.get_for(patience); }, [&] { queue.put(7); }));
        CHECK(queue.empty());
    }
}

TEST_CASE_TEMPLATE("the size of a queue is what it has [test_qsize]", Q, EVERY_QUEUE) {
    const Q queue;
    for (const std::size_t size : {0U, 1U}) {
        CHECK(queue.size() == size);
        queue.put(1);
    }
    for (const std::size_t size : {2U, 1U}) {
        CHECK(queue.size() == size);
        CHECK(queue.get().has_value());
    }
    CHECK(queue.size() == 0);
}

TEST_CASE_TEMPLATE(
    "every kind of queue is joined when all is done, twice [test_queue_join, "
    "test_queue_task_done]",
    Q, LifoQueue<int>, PriorityQueue<int>) {
    const Q queue;
    const Queue<int> taken;
    const auto work = [=] {
        while (const std::optional<int> x = queue.get()) {
            taken.put(*x);
            queue.task_done();
        }
    };
    const Thread one{work};
    const Thread other{work};
    one.start();
    other.start();
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 100; ++i) queue.put(i);
        queue.join();
        REQUIRE(taken.size() == 100);
        const std::vector<int> items = next(taken, 100);
        CHECK(std::accumulate(items.begin(), items.end(), 0) == 4950);
    }
    CHECK_THROWS_AS(queue.task_done(), InvalidStateError);
    queue.shutdown();
    CHECK(one.join_for(patience));
    CHECK(other.join_for(patience));
}

TEST_CASE_TEMPLATE(
    "a shutdown wakes all who wait at any kind of queue [test_shutdown_pending_get, "
    "test_shutdown_put, test_shutdown_immediate_put, test_shutdown_immediate_join]",
    Q, EVERY_QUEUE) {
    for (const bool immediate : {false, true}) {
        const Q empty;
        CHECK(waits_for([=] { (void)empty.get(); }, [&] { empty.shutdown(immediate); }));

        const Q full(1);
        full.put(1);
        const Queue<int> refused;
        const auto put = [=] {
            try {
                full.put(2);
            } catch (const QueueShutDown&) {
                refused.put(1);
            }
        };
        const Thread joiner{[=] { full.join(); }};
        joiner.start();
        CHECK(waits_for(put, [&] { full.shutdown(immediate); }));
        CHECK(refused.size() == 1);
        if (!immediate) {
            CHECK(falls_asleep(joiner));
            CHECK(joiner.is_alive());
            CHECK(full.get() == 1);
            full.task_done();
        }
        CHECK(joiner.join_for(patience));
        CHECK(full.get() == std::nullopt);
    }
}

TEST_CASE_TEMPLATE("one consumer gets all in the order of the producer [test_order]", B,
                   MUSTER_BACKENDS) {
    const Numbers<B> queue;
    const Crew<B> producer(
        1,
        [](Numbers<B> out) {
            for (int i = 0; i < 10'000; ++i) out.put(i);
            out.shutdown();
        },
        queue);
    int expected = 0;
    while (const std::optional<int> item = queue.get_for(patience))
        if (*item == expected) ++expected;
    CHECK(expected == 10'000);
    CHECK(producer.join());
}

TEST_CASE_TEMPLATE(
    "what many put, many get once, however they ask [test_many_threads, "
    "test_many_threads_nonblock, test_many_threads_timeout]",
    B, MUSTER_BACKENDS) {
    constexpr std::size_t workers = std::same_as<B, muster::Threads> ? 50 : 5;
    std::vector<int> all(10'000);
    std::iota(all.begin(), all.end(), 0);
    for (const Ask how : {Ask::wait, Ask::poll, Ask::wait_a_moment}) {
        CAPTURE(static_cast<int>(how));
        const Numbers<B> inputs;
        for (const int x : all) inputs.put(x);
        inputs.shutdown();
        const Numbers<B> queue;
        const typename B::template Queue<std::vector<int>> results;
        const Crew<B> consumers(
            workers,
            [](Numbers<B> in, Ask mine, typename B::template Queue<std::vector<int>> out) {
                std::vector<int> taken;
                while (const std::optional<int> x = ask(in, mine)) taken.push_back(*x);
                out.put(taken);
            },
            queue, how, results);
        const Crew<B> producers(
            workers,
            [](Numbers<B> from, Numbers<B> out) {
                while (const std::optional<int> x = from.get()) out.put(*x);
            },
            inputs, queue);
        CHECK(producers.join());
        queue.shutdown();
        std::vector<int> taken;
        for (const std::vector<int>& part : next(results, workers))
            taken.insert(taken.end(), part.begin(), part.end());
        std::sort(taken.begin(), taken.end());
        CHECK(taken == all);
        CHECK(consumers.join());
    }
}

TEST_CASE("an item's destructor may put the next one, ten thousand times [test_reentrancy]") {
    struct Chain {
        using Link = std::shared_ptr<Chain>;
        Chain(const Queue<Link>& its_queue, int number) : queue{&its_queue}, left{number} {}
        Chain(const Chain&) = delete;
        Chain& operator=(const Chain&) = delete;
        ~Chain() {
            if (left != 0) queue->put(std::make_shared<Chain>(*queue, left - 1));
        }
        const Queue<Link>* queue;
        int left;
    };
    const Queue<Chain::Link> queue;
    queue.put(std::make_shared<Chain>(queue, 10'000));
    int count = 0;
    while (queue.try_get()) ++count;
    CHECK(count == 10'001);
}

#ifndef TEST_THREAD_SANITIZER  // As for MUSTER_BACKENDS.
TEST_CASE(
    "an item that cannot be written takes no room, and one that cannot be read is gone "
    "[test_failing_queue, test_queue_feeder_donot_stop_onexc, "
    "test_queue_feeder_on_queue_feeder_error]") {
    const muster::multiprocessing::Queue<Fragile> queue(1);
    CHECK_THROWS_WITH_AS(queue.put(Fragile{Fragile::unwritable}), "cannot be written",
                         std::runtime_error);
    CHECK(queue.empty());
    CHECK(queue.join_for(0s));
    CHECK(queue.try_put(Fragile{1}));
    CHECK(queue.full());
    CHECK_THROWS_AS(queue.put(Fragile{Fragile::unwritable}), std::runtime_error);
    CHECK(queue.size() == 1);
    // Who waits for room is not disturbed.
    CHECK(waits_for([=] { queue.put(Fragile{Fragile::unreadable}); },
                    [&] { CHECK(queue.get()->number == 1); }));
    CHECK_THROWS_WITH_AS((void)queue.get(), "cannot be read", std::runtime_error);
    CHECK(queue.empty());
    CHECK(queue.try_put(Fragile{2}));
    CHECK(queue.get()->number == 2);
    for (int i = 0; i < 3; ++i) queue.task_done();
    CHECK(queue.join_for(0s));
}
#endif

}  // namespace conformance_queue_test
