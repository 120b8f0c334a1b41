// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// The thread that a process pool keeps for callbacks, and those of them that wait for others.
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/wait.hpp>
#include <muster/when.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <vector>

#include "support/asleep.hpp"
#include "support/event.hpp"
#include "support/process_pool.hpp"
#include "support/task_gate.hpp"

namespace process_callbacks_test {

namespace {

using muster::Future;
using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::test::Event;
using muster::test::patience;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int same(int x) { return x; }

}  // namespace

TEST_CASE("callbacks run one after the other in one thread, which is not the test's") {
    ProcessPoolExecutor pool(2);
    const auto test = std::this_thread::get_id();
    std::set<std::thread::id> threads;  // Without a lock, as they never run together,
    std::vector<int> seen;
    std::vector<int> seen_here;  // but for those that are added when the task is done already.
    for (int i = 0; i < 500; ++i)
        pool.submit(same, i).add_done_callback([&, i](const Future<int>& done) {
            const bool here = std::this_thread::get_id() == test;
            if (!here) threads.insert(std::this_thread::get_id());
            if (done.result() == i) (here ? seen_here : seen).push_back(i);
        });
    pool.wait_idle();
    seen.insert(seen.end(), seen_here.begin(), seen_here.end());
    std::sort(seen.begin(), seen.end());
    CHECK(seen.size() == 500);
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
    CHECK(threads.size() <= 1);
}

TEST_CASE("a callback that blocks delays no result") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    const Event open;
    const Event inside;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    first.add_done_callback([&inside, open](const auto&) {
        inside.set();
        open.wait();
    });
    gate.open();
    inside.wait();
    CHECK(first.result() == 'a');
    for (int i = 0; i < 100; ++i) CHECK(pool.submit(same, i).result() == i);
    CHECK_FALSE(pool.wait_idle_for(1ms));
    open.set();
    pool.wait_idle();
}

TEST_CASE("a callback may submit to its pool and wait for the result") {
    ProcessPoolExecutor pool({.max_workers = 1, .max_pending = 1});
    std::atomic<int> seen{0};
    pool.submit(same, 20).add_done_callback(
        [&](const Future<int>& done) { seen = pool.submit(same, done.result() + 1).result(); });
    pool.wait_idle();
    CHECK(seen == 21);
}

TEST_CASE("a callback may wait for what other callbacks of its pool bring about") {
    ProcessPoolExecutor pool(1);
    std::vector<int> seen;
    const auto next = [](int x) { return x + 1; };
    TaskGate gate;
    pool.submit(TaskGate::pass, gate.path(), 'a').add_done_callback([&](const auto&) {
        seen.push_back(pool.submit(same, 1).then(next).result());
        auto all = muster::when_all(pool.submit(same, 3), pool.submit(same, 4));
        seen.push_back(std::get<1>(all.result()));
        auto any = muster::when_any(pool.submit(same, 5), pool.submit(same, 5));
        seen.push_back(any.result().future.result());
        std::vector links{pool.submit(same, 6).then(next), pool.submit(same, 7).then(next)};
        for (const auto& link : muster::as_completed(links)) (void)link;
        seen.push_back(links.back().result());
    });
    auto chained = pool.submit(same, 10).then(next);
    gate.open();
    REQUIRE(pool.wait_idle_for(patience));
    CHECK(seen == std::vector{2, 4, 5, 8});
    CHECK(chained.result() == 11);
}

TEST_CASE("callbacks that wait run one after the other all the same, in one thread") {
    ProcessPoolExecutor pool(1);
    std::vector<std::thread::id> threads;  // Without a lock, as they never run together.
    const auto note = [&](const auto&) {
        muster::wait(std::vector{pool.submit(same, 1).then(same), pool.submit(same, 2)});
        (void)pool.submit(same, 3).then(same).wait_for(0s);
        threads.push_back(std::this_thread::get_id());
    };
    for (int i = 0; i < 50; ++i) pool.submit(same, i).add_done_callback(note);
    REQUIRE(pool.wait_idle_for(patience));
    CHECK(threads.size() == 50);
    CHECK(std::set(threads.begin(), threads.end()).size() == 1);
}

TEST_CASE("a callback may wait for a link that comes to depend on its pool") {
    ProcessPoolExecutor pool(1);
    muster::ThreadPoolExecutor threads(1);
    int seen = 0;
    pool.submit(same, 1).add_done_callback([&](const auto&) {
        auto link = threads.submit(same, 2).then(
            [&](int x) { return pool.submit(same, x).then([](int y) { return y + 1; }); });
        seen = link.result();
    });
    REQUIRE(pool.wait_idle_for(patience));
    CHECK(seen == 3);
}

TEST_CASE("a callback may wait until its pool is idle, the callbacks of others included") {
    ProcessPoolExecutor pool(1);
    std::atomic<int> others{0};
    int seen = -1;
    TaskGate gate;
    pool.submit(TaskGate::pass, gate.path(), 'a').add_done_callback([&](const auto&) {
        pool.wait_idle();
        seen = others;
    });
    for (int i = 0; i < 20; ++i)
        pool.submit(same, i).add_done_callback([&](const auto&) { ++others; });
    gate.open();
    pool.wait_idle();
    CHECK(seen == 20);
    pool.submit(same, 1).add_done_callback([&](const auto&) { ++others; });
    pool.wait_idle();
    CHECK(others == 21);
}

TEST_CASE("a callback may wait for a link whose function returns what joins links of its pool") {
    ProcessPoolExecutor pool(1);
    muster::Promise<int> promise;
    std::atomic<long long> waiting{0};
    int seen = 0;
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto one = pool.submit(same, 1).then(same);
    auto other = pool.submit(same, 2).then(same);
    first.add_done_callback([&](const auto&) {
        auto link = promise.get_future().then([=](int) { return muster::when_all(one, other); });
        waiting = muster::detail::os::thread_id();
        seen = std::get<1>(link.result());
    });
    gate.open();
    REQUIRE(muster::test::falls_asleep(muster::test::KnownThread{waiting}));
    promise.set_result(0);
    REQUIRE(pool.wait_idle_for(patience));
    CHECK(seen == 2);
}

TEST_CASE("what waits for others in a callback may be gone through when the pool is gone") {
    std::optional<muster::CompletionRange<Future<char>>> range;
    ProcessPoolExecutor other(1);
    TaskGate gate;
    const std::vector tasks{other.submit(TaskGate::pass, gate.path(), 'b')};
    {
        ProcessPoolExecutor pool(1);
        pool.submit(same, 1).add_done_callback(
            [&](const auto&) { range.emplace(muster::as_completed(tasks)); });
    }
    gate.open();
    for (const auto& task : *range) CHECK(task.result() == 'b');
}

}  // namespace process_callbacks_test
