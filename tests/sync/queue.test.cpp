// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's test_queue.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/family.hpp"
#include "sync/backends.hpp"
#include "sync/queue_workers.hpp"

namespace sync_queue_test {

namespace {

using muster::InvalidStateError;
using muster::QueueShutDown;
using muster::test::Crew;
using muster::test::family_bytes;
using muster::test::get_one;
using muster::test::join;
using muster::test::next;
using muster::test::Numbers;
using muster::test::patience;
using muster::test::put_one;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Nothing {};

/// An item that may be small, large, of any size between byte by byte, and with a handle in it.
template <typename B>
struct Parcel {
    static Parcel make(int number) {
        Parcel made{number, text_of(number), {}};
        if (has_inner(number)) made.inner.emplace_back().put(number);
        return made;
    }
    [[nodiscard]] bool intact() const {
        if (text != text_of(number) || inner.empty() == has_inner(number)) return false;
        return inner.empty() || inner.front().try_get() == number;
    }

    int number;
    std::string text;
    std::vector<Numbers<B>> inner;

  private:
    static bool has_inner(int number) { return number % 97 == 0; }
    static std::string text_of(int number) {
        const int size = number % 50 == 49 ? 4096 : number % 300;
        return std::string(static_cast<std::size_t>(size), static_cast<char>('a' + number % 26));
    }
};
template <typename B>
using Parcels = typename B::template Queue<Parcel<B>>;

}  // namespace

TEST_CASE_TEMPLATE(
    "a queue gives what was put, in order, twice [test_basic, test_nowait, "
    "test_negative_timeout_raises_exception, test_negative_timeout]",
    B, MUSTER_BACKENDS) {
    const Numbers<B> queue(2);
    for (int round = 0; round < 2; ++round) {
        CHECK(queue.empty());
        CHECK_FALSE(queue.full());
        queue.put(111);
        CHECK(queue.size() == 1);
        CHECK_FALSE(queue.empty());
        CHECK_FALSE(queue.full());
        CHECK(queue.try_put(222));
        CHECK(queue.full());
        CHECK_FALSE(queue.try_put(333));
        CHECK_FALSE(queue.put_for(333, 5ms));
        CHECK_FALSE(queue.put_for(333, 0s));
        CHECK_FALSE(queue.put_for(333, -1s));  // [test_negative_timeout_raises_exception]
        CHECK(queue.size() == 2);
        CHECK(queue.get() == 111);
        CHECK(queue.put_for(333, 0s));
        CHECK(queue.try_get() == 222);
        CHECK(queue.get_for(patience) == 333);
        CHECK(queue.empty());
        CHECK(queue.try_get() == std::nullopt);
        CHECK(queue.get_for(0s) == std::nullopt);
        CHECK(queue.get_for(-1s) == std::nullopt);
        const auto begin = Clock::now();
        CHECK(queue.get_for(20ms) == std::nullopt);
        CHECK(Clock::now() - begin >= 20ms);
        for (int i = 0; i < 3; ++i) queue.task_done();
    }
    CHECK(queue.join_for(0s));
}

TEST_CASE_TEMPLATE("a queue is bounded by a positive number only", B, MUSTER_BACKENDS) {
    CHECK_THROWS_AS(Numbers<B>(-1), std::invalid_argument);
    const Numbers<B> without_bound(std::size_t{0});
    for (int i = 0; i < 1000; ++i) CHECK(without_bound.try_put(i));
    CHECK_FALSE(without_bound.full());
    CHECK(without_bound.size() == 1000);
}

TEST_CASE_TEMPLATE("a copy is the same queue", B, MUSTER_BACKENDS) {
    const typename B::template Queue<std::string> queue;
    const auto copy = queue;
    queue.put("text");
    CHECK(copy.size() == 1);
    CHECK(copy.get() == "text");
}

TEST_CASE_TEMPLATE("who waits for an item, or for room, goes on when it comes [test_basic]", B,
                   MUSTER_BACKENDS) {
    const Numbers<B> queue(1);
    const Numbers<B> told;
    {
        const Crew<B> getter(1, &get_one<B>, queue, told);
        CHECK(getter.falls_asleep());
        CHECK(told.empty());
        queue.put(1);
        CHECK(next(told, 1) == std::vector{1});
    }
    queue.put(2);
    const Crew<B> putter(1, &put_one<B>, queue, told);
    CHECK(putter.falls_asleep());
    CHECK(told.empty());
    CHECK(queue.get() == 2);
    CHECK(next(told, 1) == std::vector{1});
    CHECK(queue.get() == 7);
}

TEST_CASE_TEMPLATE("task_done is refused when it is called too often [test_queue_task_done]", B,
                   MUSTER_BACKENDS) {
    const Numbers<B> queue;
    CHECK_THROWS_AS(queue.task_done(), InvalidStateError);
    queue.put(1);
    queue.task_done();
    CHECK_THROWS_AS(queue.task_done(), InvalidStateError);
}

TEST_CASE_TEMPLATE("join returns when all items are done, twice [test_queue_join, test_task_done]",
                   B, MUSTER_BACKENDS) {
    const Numbers<B> queue;
    const Numbers<B> sums;
    const Crew<B> workers(
        2,
        [](Numbers<B> in, Numbers<B> out) {
            while (const std::optional<int> x = in.get()) {
                out.put(*x);
                in.task_done();
            }
        },
        queue, sums);
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 100; ++i) queue.put(i);
        queue.join();
        CHECK(sums.size() == 100);
        const std::vector<int> done = next(sums, 100);
        CHECK(std::accumulate(done.begin(), done.end(), 0) == 4950);
    }
    queue.shutdown();
    CHECK(workers.join());
}

TEST_CASE_TEMPLATE("join waits for the last task_done, but no longer than its time", B,
                   MUSTER_BACKENDS) {
    const Numbers<B> queue;
    const Numbers<B> told;
    queue.join();
    queue.put(1);
    queue.put(2);
    const Crew<B> joiners(2, &join<B>, queue, told);
    CHECK(queue.get() == 1);
    queue.task_done();
    CHECK(queue.get() == 2);
    CHECK(joiners.falls_asleep());
    CHECK(told.empty());
    CHECK_FALSE(queue.join_for(0s));
    CHECK_FALSE(queue.join_for(5ms));
    queue.task_done();
    CHECK(next(told, 2) == std::vector{1, 1});
    CHECK(queue.join_for(-1s));
}

TEST_CASE_TEMPLATE(
    "every item arrives once, in the order of its producer [test_many_threads, "
    "test_order]",
    B, MUSTER_BACKENDS) {
    constexpr int producers = 4;
    constexpr int items = 2000;
    const Numbers<B> queue(10);
    const typename B::template Queue<std::vector<int>> results;
    const Numbers<B> numbers;
    for (int i = 0; i < producers; ++i) numbers.put(i);
    const Crew<B> consumers(
        3,
        [](Numbers<B> in, typename B::template Queue<std::vector<int>> out) {
            std::vector<int> taken;
            while (const std::optional<int> x = in.get()) taken.push_back(*x);
            out.put(taken);
        },
        queue, results);
    const Crew<B> crew(
        producers,
        [](Numbers<B> out, Numbers<B> mine) {
            const int first = *mine.get() * items;
            for (int i = 0; i < items; ++i) out.put(first + i);
        },
        queue, numbers);
    CHECK(crew.join());
    queue.shutdown();
    std::vector<int> all;
    bool in_order = true;
    for (const std::vector<int>& taken : next(results, 3)) {
        std::vector<int> last(producers, -1);
        for (const int x : taken) {
            int& before = last[static_cast<std::size_t>(x / items)];
            in_order = in_order && x > before;
            before = x;
        }
        all.insert(all.end(), taken.begin(), taken.end());
    }
    CHECK(in_order);
    std::sort(all.begin(), all.end());
    std::vector<int> expected(producers * items);
    std::iota(expected.begin(), expected.end(), 0);
    CHECK(all == expected);
}

TEST_CASE_TEMPLATE("items of no bytes are counted", B, MUSTER_BACKENDS) {
    const typename B::template Queue<Nothing> queue;
    for (int i = 0; i < 1'000; ++i) queue.put(Nothing());
    CHECK(queue.size() == 1'000);
    int taken = 0;
    while (queue.try_get()) ++taken;
    CHECK(taken == 1'000);
}

TEST_CASE_TEMPLATE("items of all sizes, with handles and without, come out as they were put", B,
                   MUSTER_BACKENDS) {
    const std::uint64_t before = family_bytes();
    {
        constexpr int items = 10'000;
        const Parcels<B> queue;
        bool in_order = true;
        for (int put = 0, taken = 0; put < items;) {
            // So many at a time that what is there begins and ends everywhere.
            for (int last = std::min(items, put + 37); put < last; ++put)
                queue.put(Parcel<B>::make(put));
            for (; taken < put - (put == items ? 0 : 5); ++taken) {
                const auto parcel = queue.try_get();
                in_order = in_order && parcel && parcel->number == taken && parcel->intact();
            }
        }
        CHECK(in_order);
        CHECK(queue.empty());
    }
    CHECK(family_bytes() == before);
}

TEST_CASE_TEMPLATE("items of all sizes go from several producers to several consumers", B,
                   MUSTER_BACKENDS) {
    constexpr int items = 5'000;
    constexpr int workers = 2;
    const std::uint64_t before = family_bytes();
    {
        const Parcels<B> queue(100);
        const Numbers<B> sums;
        const Numbers<B> producer;
        const Crew<B> consumers(
            workers,
            [](Parcels<B> in, Numbers<B> out) {
                int sum = 0;
                std::array<int, workers> last{-1, -1};  // Of each producer.
                while (const auto parcel = in.get()) {
                    int& previous = last[static_cast<std::size_t>(parcel->number % workers)];
                    const bool good = parcel->intact() && parcel->number > previous;
                    previous = parcel->number;
                    sum += good ? parcel->number : -1'000'000'000;
                }
                out.put(sum);
            },
            queue, sums);
        for (int i = 0; i < workers; ++i) producer.put(i);
        const Crew<B> producers(
            workers,
            [](Parcels<B> out, Numbers<B> mine) {
                for (int i = *mine.get(); i < workers * items; i += workers)
                    out.put(Parcel<B>::make(i));
            },
            queue, producer);
        CHECK(producers.join());
        queue.shutdown();
        CHECK(consumers.join());
        const std::vector<int> all = next(sums, workers);
        CHECK(std::accumulate(all.begin(), all.end(), 0) ==
              items * workers * (items * workers - 1) / 2);
    }
    CHECK(family_bytes() == before);
}

}  // namespace sync_queue_test
