// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Process pools that are destroyed while callbacks run or futures live.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <thread>

#include "support/event.hpp"
#include "support/process_pool.hpp"
#include "support/task_gate.hpp"

namespace process_pool_end_test {

namespace {

using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::Future;
using muster::test::Event;
using muster::test::TaskGate;

int same(int number) { return number; }

}  // namespace

TEST_CASE("a pool may be destroyed by a callback of its own") {
    for (int i = 0; i < 20; ++i) {
        auto pool = std::make_unique<ProcessPoolExecutor>(1);
        const Event destroyed;
        auto first = pool->submit(same, 1);
        first.add_done_callback([&, destroyed](const auto&) {
            pool.reset();
            destroyed.set();
        });
        destroyed.wait();
        CHECK(first.result() == 1);
    }
}

TEST_CASE("a pool that a callback destroys waits for its other tasks") {
    auto pool = std::make_unique<ProcessPoolExecutor>(2);
    const Event destroyed;
    TaskGate gate;
    auto other = pool->submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    std::thread opener;
    pool->submit(same, 1).add_done_callback([&, destroyed](const auto&) {
        opener = std::thread([&] { gate.open(); });
        pool.reset();
        CHECK(other.done());
        destroyed.set();
    });
    destroyed.wait();
    opener.join();
    CHECK(other.result() == 'a');
}

TEST_CASE("a pool may be gone when the last thread that knows its future lets go") {
    for (int i = 0; i < 50; ++i) {
        auto pool = std::make_unique<ProcessPoolExecutor>(1);
        pool->submit(same, 1).add_done_callback([](const auto&) {});
        Future<int> kept = pool->submit(same, 2);
        pool.reset();
        CHECK(kept.result() == 2);
    }
}

}  // namespace process_pool_end_test
