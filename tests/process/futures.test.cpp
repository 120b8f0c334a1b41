// SPDX-License-Identifier: MIT
// ctest: start_methods
// What is made of the futures of process pools: all of them, any of them, and what comes then.
#include <doctest/doctest.h>
#include <unistd.h>
#include <muster/thread_pool_executor.hpp>
#include <muster/when.hpp>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/futures.hpp"
#include "support/process_pool.hpp"
#include "support/task_gate.hpp"

namespace process_futures_test {

namespace {

using muster::Future;
using muster::ThreadPoolExecutor;
using muster::when_all;
using muster::when_any;
using muster::test::ProcessPool;
using muster::test::TaskGate;

int twice(int x) { return 2 * x; }
int fails(int x) { throw std::out_of_range("no element " + std::to_string(x)); }
std::unique_ptr<int> make(int x) { return std::make_unique<int>(x); }

}  // namespace

TEST_CASE("when_all has the results of worker processes in the order given") {
    ProcessPool pool(2);
    std::vector<Future<int>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(twice, i));
    const std::vector<int> all = when_all(futures).result();
    REQUIRE(all.size() == 20);
    for (int i = 0; i < 20; ++i) CHECK(all[static_cast<std::size_t>(i)] == 2 * i);

    ThreadPoolExecutor threads(1);
    const auto mixed =
        when_all(pool.submit(::getpid), threads.submit(::getpid), pool.submit([] {}));
    CHECK(std::get<0>(mixed.result()) != ::getpid());
    CHECK(std::get<1>(mixed.result()) == ::getpid());
}

TEST_CASE("when_all has the first error of worker processes, a crash among them") {
    ProcessPool pool(2);
    const TaskGate gate;
    const auto waits = pool.submit(TaskGate::pass, gate.path(), 'a');
    CHECK_THROWS_WITH_AS((void)when_all(waits, pool.submit(fails, 7)).result(), "no element 7",
                         std::out_of_range);
    const auto crash = pool.submit([] { std::abort(); });
    CHECK_THROWS_AS((void)when_all(waits, crash).result(), muster::WorkerCrashed);
    CHECK_FALSE(waits.done());
}

TEST_CASE("when_any has the future of the worker process that is done first") {
    ProcessPool pool(2);
    TaskGate gate;
    const std::vector<Future<char>> futures{
        pool.submit(TaskGate::pass, gate.path(), 'a'),
        pool.submit([](char x) { return x; }, 'b'),
    };
    const auto first = when_any(futures).result();
    CHECK(first.index == 1);
    CHECK(first.future.result() == 'b');
    CHECK_FALSE(futures[0].done());  // It runs on.
    gate.open();
    CHECK(futures[0].result() == 'a');
}

TEST_CASE("then has its function run in a worker process") {
    ProcessPool pool(2);
    const Future<int> number = pool.submit(twice, 4);
    const auto where = number.then(pool, [](int x) { return std::pair(::getpid(), x + 1); });
    CHECK(where.result().first != ::getpid());
    CHECK(where.result().second == 9);
    CHECK(number.result() == 8);

    const Future<std::string> text = muster::test::ready(std::string("four"));
    CHECK(text.then(pool, &std::string::size).result() == 4);
    CHECK(text.result() == "four");
    CHECK(muster::test::ready().then(pool, [] { return 3; }).result() == 3);
}

TEST_CASE("then takes what can only be moved to a worker process") {
    ProcessPool pool(1);
    const auto value = [](const std::unique_ptr<int>& x) { return *x; };
    const Future<std::unique_ptr<int>> kept = pool.submit(make, 5);
    CHECK(kept.then(pool, value).result() == 5);
    CHECK(*kept.result() == 5);
    CHECK(pool.submit(make, 6).then(pool, value).result() == 6);
}

TEST_CASE("what fails in one worker process starts nothing in another") {
    ProcessPool pool(1);
    CHECK_THROWS_AS((void)pool.submit(fails, 7).then(pool, twice).result(), std::out_of_range);
    CHECK_THROWS_WITH_AS((void)pool.submit(twice, 1).then(pool, fails).result(), "no element 2",
                         std::out_of_range);
    pool.wait_idle();
    CHECK(pool.stats().failed == 2);
    CHECK(pool.stats().completed == 1);
}

}  // namespace process_futures_test
