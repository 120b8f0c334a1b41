// SPDX-License-Identifier: MIT
// ctest: concurrency
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/wait.hpp>
#include <muster/when.hpp>
#include <support/race.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace wait_races_test {

using muster::Future;
using muster::Promise;
using muster::ReturnWhen;
using muster::test::race;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t rounds = 1000;

using Futures = std::vector<Future<int>>;

Futures futures_of(const std::vector<Promise<int>>& promises) {
    Futures futures;
    futures.reserve(promises.size());
    for (const Promise<int>& promise : promises) futures.push_back(promise.get_future());
    return futures;
}

}  // namespace

TEST_CASE("a hundred tasks released together wake who waits for all of them") {
    muster::ThreadPoolExecutor pool(4);
    for (int repeat = 0; repeat < 30; ++repeat) {
        Promise<void> gate;
        const Future<void> opened = gate.get_future();
        Futures futures;
        for (int i = 0; i < 100; ++i)
            futures.push_back(pool.submit([opened, i] { return opened.wait(), i; }));
        std::jthread opener([&] { gate.set_result(); });
        const auto [done, not_done] = muster::wait(futures);
        CHECK(done.size() == 100);
        CHECK(not_done.empty());
    }
}

TEST_CASE("who waits for all of a hundred futures, completed by four threads, is woken") {
    for (int repeat = 0; repeat < 30; ++repeat) {
        std::vector<Promise<int>> promises(100);
        const Futures futures = futures_of(promises);
        std::vector<std::jthread> completers;
        for (std::size_t who = 0; who < 4; ++who)
            completers.emplace_back([&, who] {
                for (std::size_t i = who; i < promises.size(); i += 4)
                    i % 10 == 9 ? (void)futures[i].cancel() : promises[i].set_result(1);
            });
        CHECK(muster::wait(futures).not_done.empty());
    }
}

TEST_CASE("as_completed gives each of many futures once while they complete") {
    for (int repeat = 0; repeat < 30; ++repeat) {
        std::vector<Promise<int>> promises(100);
        const Futures futures = futures_of(promises);
        std::vector<std::jthread> completers;
        for (std::size_t who = 0; who < 3; ++who)
            completers.emplace_back([&, who] {
                for (std::size_t i = who; i < promises.size(); i += 3)
                    promises[i].set_result(static_cast<int>(i));
            });
        std::vector<int> seen;
        std::size_t not_done = 0;
        for (const Future<int>& future : muster::as_completed(futures)) {
            not_done += future.done() ? 0 : 1;
            seen.push_back(future.result());
        }
        std::sort(seen.begin(), seen.end());
        CHECK(not_done == 0);
        CHECK(seen.size() == 100);
        CHECK(std::unique(seen.begin(), seen.end()) == seen.end());
    }
}

TEST_CASE("waiting for the first with short limits, over and over, misses no completion") {
    constexpr std::size_t few = 200;
    std::vector<Promise<int>> promises(few), never(3);
    const Futures futures = futures_of(promises);
    std::atomic<std::size_t> done = 0;
    const auto waiter = [&](std::chrono::microseconds limit) {
        return [&, limit](std::size_t i) {
            const Futures some{never[0].get_future(), never[1].get_future(), futures[i],
                               never[2].get_future()};
            for (;;) {
                const auto found = muster::wait(some, ReturnWhen::first_completed, limit);
                if (found.done.empty()) {
                    std::this_thread::yield();
                    continue;
                }
                done += found.done.front() == futures[i] ? 1 : 0;
                return;
            }
        };
    };
    race(
        few,
        [&](std::size_t i) {
            for (std::size_t spin = 0; spin < i % 7; ++spin) std::this_thread::yield();
            promises[i].set_result(1);
        },
        waiter(0us), waiter(5us), waiter(1s));
    CHECK(done == 3 * few);
}

TEST_CASE("waits that give up leave the callbacks and waits of others in the same future alone") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    std::atomic<int> called = 0;
    std::atomic<int> released = 0;
    Promise<void> busy;
    {
        std::vector<std::jthread> threads;
        for (int who = 0; who < 3; ++who)
            threads.emplace_back([&, who] {
                for (int i = 0; i < 500; ++i) {
                    (void)muster::wait(Futures{future}, i % 2 == 0 ? 0us : 1us);
                    if (who == 0 && i == 250) busy.set_result();
                    if (i % 10 == 0)
                        future.add_done_callback([&](const Future<int>&) { ++called; });
                }
                (void)muster::wait(Futures{future});
                ++released;
            });
        busy.get_future().wait();
        promise.set_result(1);  // While they come and go.
    }
    CHECK(called == 150);
    CHECK(released == 3);
}

TEST_CASE("waiting for the first exception is ended by it, and by the last completion") {
    std::vector<Promise<int>> good(rounds), bad(rounds);
    std::atomic<std::size_t> right = 0;
    race(
        rounds, [&](std::size_t i) { good[i].set_result(1); },
        [&](std::size_t i) {
            if (i % 2 == 0)
                bad[i].set_exception(std::make_exception_ptr(1));
            else
                bad[i].get_future().cancel();
        },
        [&](std::size_t i) {
            const Futures both{good[i].get_future(), bad[i].get_future()};
            const auto found = muster::wait(both, ReturnWhen::first_exception);
            right +=
                found.done.size() == 2 || (i % 2 == 0 && found.done == Futures{both[1]}) ? 1 : 0;
        });
    CHECK(right == rounds);
}

TEST_CASE("a range of as_completed may be dropped while its futures complete") {
    std::vector<Promise<int>> promises(rounds);
    const Futures futures = futures_of(promises);
    std::atomic<std::size_t> dropped = 0;
    race(
        rounds, [&](std::size_t i) { promises[i].set_result(1); },
        [&](std::size_t i) {
            auto range = muster::as_completed(Futures{futures[i]}, i % 2 == 0 ? 0us : 1s);
            try {
                if (i % 3 != 0) (void)range.begin();
            } catch (const muster::TimeoutError&) {
            }
            ++dropped;
        });
    CHECK(dropped == rounds);
}

TEST_CASE("when_all of a hundred tasks in a pool wakes who waits for it") {
    muster::ThreadPoolExecutor pool(3);
    for (int repeat = 0; repeat < 30; ++repeat) {
        Futures futures;
        for (int i = 0; i < 100; ++i)
            futures.push_back(pool.submit([i] { return i; }).then([](int x) { return x; }));
        const auto all = muster::when_all(futures);
        CHECK(all.result().size() == 100);
    }
}

}  // namespace wait_races_test
