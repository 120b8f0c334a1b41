// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Locks, queues and the like go to worker processes as arguments, inside values, and back as results.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/process_pool.hpp"

namespace multiprocessing_handles_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::family_bytes;
using muster::test::open_descriptors;
using muster::test::ProcessPool;
using muster::test::soon;
using namespace std::chrono_literals;

/// A value that handles are inside of.
struct Desk {
    std::string name;
    std::vector<mp::Lock> locks;
    std::optional<mp::Queue<int>> inbox;
};

/// How often it saw what another one had half done.
int add_under_lock(mp::Lock lock, mp::Value<int> sum, mp::SharedArray<int> pair, int times) {
    int torn = 0;
    for (int i = 0; i < times; ++i) {
        const std::scoped_lock held(lock);
        if (pair[0] != pair[1]) ++torn;
        ++pair[0];
        sum.update([](int& value) { ++value; });
        pair[1] = pair[0];
    }
    return torn;
}

}  // namespace

TEST_CASE("a lock, a value and an array are the same in workers that started before them") {
    ProcessPool pool(3);
    std::vector<muster::Future<int>> starts;
    for (int i = 0; i < 3; ++i) starts.push_back(pool.submit([] { return 1; }));
    for (const auto& start : starts) REQUIRE(start.result() == 1);

    const mp::Lock lock;
    const mp::Value<int> sum(0);
    const mp::SharedArray<int> pair(2);
    std::vector<muster::Future<int>> tasks;
    for (int i = 0; i < 6; ++i)
        tasks.push_back(pool.submit(add_under_lock, lock, sum, pair, 2'000));
    for (const auto& task : tasks) CHECK(task.result() == 0);
    CHECK(sum.get() == 12'000);
    CHECK(pair[0] == 12'000);
}

TEST_CASE("handles cross inside other values, and the same lock stays one lock") {
    ProcessPool pool(1);
    Desk desk{"first", {mp::Lock(), mp::Lock()}, mp::Queue<int>(4)};
    const bool had = pool.submit(
                             [](Desk its) {
                                 its.inbox->put(5);
                                 its.locks[1].lock();
                                 return its.locks[0].try_lock();
                             },
                             desk)
                         .result();
    CHECK(had);
    CHECK(desk.inbox->get() == 5);
    CHECK(desk.locks[1].locked());  // By the worker, which is alive and holds them still.
    CHECK(desk.locks[0].locked());
    CHECK_FALSE(desk.locks[1].try_lock());
    pool.shutdown();
    CHECK_THROWS_AS(desk.locks[1].lock(), muster::AbandonedLock);
    desk.locks[1].recover();
    desk.locks[1].unlock();
    CHECK(desk.locks[1].try_lock());
    desk.locks[1].unlock();
}

TEST_CASE("a queue made in a worker comes back as its result, with what is in it") {
    ProcessPool pool(1);
    const auto queue = pool.submit([] {
                               mp::Queue<std::string> made(3);
                               made.put("one");
                               made.put("two");
                               return made;
                           })
                           .result();
    CHECK(queue.get() == "one");
    for (int i = 0; i < 3; ++i) (void)pool.submit([] { return mp::Event(); }).result();
    CHECK(queue.get() == "two");
    CHECK(queue.try_get() == std::nullopt);
}

TEST_CASE("a queue of queues: an item keeps alive what it speaks of") {
    const std::uint64_t before = family_bytes();
    {
        ProcessPool pool(1);
        const mp::Queue<mp::Queue<std::string>> outer;
        {
            const mp::Queue<std::string> inner;
            inner.put("inside");
            outer.put(inner);
        }
        const auto found = pool.submit(
            [](mp::Queue<mp::Queue<std::string>> its) { return its.get()->get(); }, outer);
        CHECK(found.result() == "inside");
        outer.put(mp::Queue<std::string>());  // Nobody takes this one.
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("an initializer's handles reach every worker") {
    static std::optional<mp::Event> kept;
    const mp::Event event;
    ProcessPool pool({.max_workers = 2, .initializer = {[](mp::Event its) { kept = its; }, event}});
    auto waiting = pool.submit([] { return kept->wait_for(200s); });
    event.set();
    CHECK(waiting.result());
}

TEST_CASE("items of 1 byte to 64 MiB go through queues that are full, and none is changed") {
    using Bytes = std::vector<std::uint8_t>;
    constexpr std::array<std::size_t, 9> sizes{1,          100, 4096,      65'536, 1U << 20U,
                                               64U << 20U, 3,   1U << 20U, 2};
    const auto bytes_of = [](std::size_t size) {
        Bytes item(size);
        for (std::size_t i = 0; i < size; ++i) item[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
        return item;
    };
    ProcessPool pool(1);
    const mp::Queue<Bytes> there(1), back(1);
    const auto task = pool.submit(
        [](mp::Queue<Bytes> in, mp::Queue<Bytes> out) {
            std::size_t items = 0;
            for (; auto item = in.get(); ++items) {
                std::reverse(item->begin(), item->end());
                out.put(*item);
            }
            return items;
        },
        there, back);
    auto sender = std::async(std::launch::async, [&] {
        for (const std::size_t size : sizes) there.put(bytes_of(size));
    });
    for (std::size_t received = 0; received < sizes.size(); ++received) {
        // One is in each queue, one with the worker; the sender has to wait with the next.
        const bool full =
            soon([&] { return (there.full() || sizes.size() - received < 3) && back.full(); });
        CHECK(full);
        if (!full) break;
        CHECK(there.size() <= 1);
        const auto reversed = back.try_get();
        CHECK(reversed.has_value());
        if (!reversed) break;
        const Bytes sent = bytes_of(sizes[received]);
        CHECK(std::equal(reversed->rbegin(), reversed->rend(), sent.begin(), sent.end()));
    }
    there.shutdown(true);  // Nothing is in it, unless something failed.
    back.shutdown(true);
    CHECK_NOTHROW(sender.get());
    CHECK(task.result() == sizes.size());
}

TEST_CASE("a hundred thousand locks need no descriptor, and leave nothing") {
    (void)mp::Lock();
    const mp::Lock other;  // The family's memory stays as long as this.
    const std::uint64_t before = family_bytes();
    const auto descriptors = open_descriptors().size();
    {
        std::vector<mp::Lock> locks;
        locks.reserve(100'000);
        for (int i = 0; i < 100'000; ++i) locks.emplace_back();
        CHECK(open_descriptors().size() == descriptors);
        locks.back().lock();
        CHECK_FALSE(locks.front().locked());
        locks.back().unlock();
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("a handle that nobody holds any more is told from a new object") {
    std::vector<std::byte> bytes;
    {
        const mp::Lock lock;
        bytes = muster::serialize(lock);
        CHECK_NOTHROW((void)muster::deserialize<mp::Lock>(bytes));
        CHECK_THROWS_AS((void)muster::deserialize<mp::RLock>(bytes), muster::InvalidStateError);
    }
    CHECK_THROWS_AS((void)muster::deserialize<mp::Lock>(bytes), muster::InvalidStateError);
    const mp::Lock next;  // Where the first one was.
    CHECK_THROWS_AS((void)muster::deserialize<mp::Lock>(bytes), muster::InvalidStateError);
}

TEST_CASE("a copy of the process made while other threads hold locks can use them afterwards") {
    const mp::Lock lock;
    const mp::RLock recursive;
    const mp::Queue<int> queue(1);
    std::atomic<bool> over{false};
    std::thread busy([&] {
        while (!over) {
            const std::scoped_lock held(lock, recursive);
            if (queue.try_put(1)) (void)queue.try_get();
        }
    });
    for (int i = 0; i < 50; ++i) {
        Copy copy([&] {
            const std::scoped_lock held(lock, recursive);
            (void)queue.try_put(2);
            (void)queue.try_get();
        });
        CHECK(copy.join() == 0);
    }
    over = true;
    busy.join();
    CHECK(lock.try_lock());
    lock.unlock();
}

TEST_CASE("a lock held by the thread that forks is the parent's alone") {
    const mp::Lock lock;
    lock.lock();
    Copy copy([&] {
        if (lock.try_lock()) ::_exit(2);
        try {
            lock.unlock();
        } catch (const muster::InvalidStateError&) {
            ::_exit(3);
        }
    });
    CHECK(copy.join() == 3);
    lock.unlock();
}

}  // namespace multiprocessing_handles_test
