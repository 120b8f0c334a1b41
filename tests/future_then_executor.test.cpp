// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <muster/inline_executor.hpp>
#include <muster/promise.hpp>
#include <muster/stop_token.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/wait.hpp>
#include <muster/when.hpp>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace future_then_executor_test {

using muster::Future;
using muster::InlineExecutor;
using muster::Promise;
using muster::ThreadPoolExecutor;
using muster::test::cancelled;
using muster::test::failed;
using muster::test::ready;
using namespace std::chrono_literals;

TEST_CASE("then with an executor has the function run by it") {
    ThreadPoolExecutor pool(1);
    const std::thread::id worker = pool.submit([] { return std::this_thread::get_id(); }).result();
    Promise<int> promise;
    const auto where = promise.get_future().then(
        pool, [](int x) { return std::pair(std::this_thread::get_id(), x + 1); });
    promise.set_result(1);
    CHECK(where.result() == std::pair(worker, 2));

    InlineExecutor here;
    const Future<std::thread::id> in_place =
        ready().then(here, [] { return std::this_thread::get_id(); });
    CHECK(in_place.result(0s) == std::this_thread::get_id());
}

TEST_CASE(
    "then with an executor unwraps, works from nothing and to nothing, and moves rvalues in") {
    ThreadPoolExecutor pool(1);
    const auto flat = ready().then(pool, [&] { return pool.submit([] { return 3; }); });
    static_assert(std::is_same_v<decltype(flat), const Future<int>>);
    CHECK(flat.result() == 3);
    const auto nothing = flat.then(pool, [](int) {});
    static_assert(std::is_same_v<decltype(nothing), const Future<void>>);
    CHECK_NOTHROW(nothing.result());
    const Future<int> moved =
        ready(std::make_unique<int>(5)).then(pool, [](std::unique_ptr<int> x) { return *x; });
    CHECK(moved.result() == 5);
    const Future<std::size_t> size = ready(std::string("four")).then(pool, &std::string::size);
    CHECK(size.result() == 4);
}

TEST_CASE("then with an executor shows the function the value of a named future, not a copy") {
    ThreadPoolExecutor pool(1);
    InlineExecutor here;
    const Future<std::unique_ptr<int>> number = ready(std::make_unique<int>(5));
    const auto address = [](const std::unique_ptr<int>& x) { return &x; };
    CHECK(number.then(pool, address).result() == &number.result());
    CHECK(number.then(here, address).result() == &number.result());
    CHECK(number.then(pool, &std::unique_ptr<int>::get).result() == number.result().get());
    const Future<int> asked = number.then(
        pool, [](muster::StopToken stop, const auto& x) { return stop.stop_requested() ? 0 : *x; });
    CHECK(asked.result() == 5);
    const auto flat =
        number.then(pool, [&](const auto& x) { return pool.submit([&x] { return *x + 1; }); });
    static_assert(std::is_same_v<decltype(flat), const Future<int>>);
    CHECK(flat.result() == 6);

    // What insists on a value of its own gets a copy.
    const Future<std::string> text = ready(std::string("four"));
    CHECK(text.then(pool, [](std::string&& own) { return std::move(own); }).result() == "four");
    CHECK(text.result() == "four");
}

TEST_CASE("the value of a future lives as long as a task of then needs it") {
    ThreadPoolExecutor pool(1);
    Promise<void> gate;  // After the pool: leaving early breaks it, so nothing hangs.
    pool.post([opened = gate.get_future()] { opened.wait(); });
    auto number = ready(std::make_shared<int>(5));
    const std::weak_ptr<int> alive = number.result();
    const Future<int> later = number.then(pool, [](const std::shared_ptr<int>& x) { return *x; });
    number = {};
    CHECK_FALSE(alive.expired());
    gate.set_result();
    CHECK(later.result() == 5);
    CHECK(alive.expired());  // The task let go of it before it was done.
}

TEST_CASE("errors and cancellation pass an executor by, without a task") {
    ThreadPoolExecutor pool(1);
    const Future<int> bad =
        failed<int>(std::out_of_range("far")).then(pool, [](int x) { return x; });
    CHECK_THROWS_AS((void)bad.result(0s), std::out_of_range);
    const Future<int> dropped = cancelled<int>().then(pool, [](int x) { return x; });
    CHECK(dropped.cancelled());
    pool.wait_idle();
    CHECK(pool.stats().completed == 0);
}

TEST_CASE("what an executor's function throws is the outcome") {
    ThreadPoolExecutor pool(1);
    const Future<int> bad = ready(1).then(pool, [](int) -> int { throw std::domain_error("no"); });
    CHECK_THROWS_WITH_AS((void)bad.result(), "no", std::domain_error);
}

TEST_CASE("then with an executor that was shut down by then gives ShutdownError") {
    Promise<int> promise;
    ThreadPoolExecutor pool(1);
    const Future<int> late = promise.get_future().then(pool, [](int x) { return x; });
    pool.shutdown();
    promise.set_result(1);
    CHECK_THROWS_AS((void)late.result(0s), muster::ShutdownError);
}

TEST_CASE(
    "cancelling such a future before its turn, or while its task is queued, spares the task") {
    ThreadPoolExecutor pool(1);
    Promise<void> begun;
    Promise<void> gate;  // After the pool: leaving early breaks it, so nothing hangs.
    pool.post([&begun, opened = gate.get_future()] {
        begun.set_result();
        opened.wait();
    });
    begun.get_future().wait();
    Promise<int> promise;
    int calls = 0;
    const auto count = [&calls](int x) { return ++calls, x; };
    const Future<int> before = promise.get_future().then(pool, count);
    CHECK(before.cancel());
    promise.set_result(1);
    const Future<int> queued = ready(1).then(pool, count);
    CHECK_FALSE(queued.done());
    CHECK(queued.cancel());
    CHECK(queued.cancelled());
    gate.set_result();
    pool.wait_idle();
    CHECK(calls == 0);
    CHECK(pool.stats().cancelled == 1);
}

TEST_CASE("request_stop of such a future reaches its task while it runs, and not afterwards") {
    ThreadPoolExecutor pool(1);
    Promise<void> begun;
    const Future<int> link = ready(5).then(pool, [&](muster::StopToken stop, int x) {
        begun.set_result();
        while (!stop.stop_requested()) std::this_thread::yield();
        return x;
    });
    begun.get_future().wait();
    CHECK_FALSE(link.cancel());
    CHECK(link.request_stop());
    CHECK(link.result() == 5);
    CHECK_FALSE(link.request_stop());
}

TEST_CASE("the only worker of a pool may wait for links, all, any and the order of its own tasks") {
    ThreadPoolExecutor pool(1);
    const Future<int> task = pool.submit([&] {
        const auto one = [&] { return pool.submit([] { return 1; }); };
        int sum = one().then(pool, [](int x) { return x + 1; }).result();
        sum += one().then([&](int) { return one(); }).then([](int x) { return x; }).result();
        sum += std::get<1>(
            muster::when_all(one(), one().then(pool, [](int x) { return x; })).result());
        sum += muster::when_any(one(), one()).result().future.result();
        std::vector futures{one(), one().then(pool, [](int x) { return x; }), one()};
        sum += static_cast<int>(muster::wait(futures).done.size());
        for (const Future<int>& done : muster::as_completed(std::vector{one(), one()}))
            sum += done.result();
        return sum;
    });
    CHECK(task.result() == 2 + 1 + 1 + 1 + 3 + 2);
}

TEST_CASE("a worker that polls runs nothing, and one that waits runs no more than it needs") {
    ThreadPoolExecutor pool(1);
    const Future<std::size_t> task = pool.submit([&] {
        std::vector futures{pool.submit([] { return 1; }), pool.submit([] { return 2; }),
                            pool.submit([] { return 3; }).then([](int x) { return x; })};
        std::size_t wrong = 0;
        for (const Future<int>& future : futures) wrong += future.wait_for(0s) ? 1 : 0;
        for (const Future<int>& future : futures) wrong += future.wait_for(-1h) ? 1 : 0;
        wrong += muster::wait(futures, 0s).done.size();
        try {
            wrong += (*muster::as_completed(futures, 0s).begin()).valid() ? 1 : 0;
        } catch (const muster::TimeoutError&) {
        }
        wrong +=
            muster::wait(futures, muster::ReturnWhen::first_completed).done.size() == 1 ? 0 : 1;
        wrong += muster::wait(futures, 0s).done.size() == 1 ? 0 : 1;
        auto range = muster::as_completed(futures);
        auto here = range.begin();
        wrong += muster::wait(futures, 0s).done.size() == 1 ? 0 : 1;
        ++here;
        wrong += muster::wait(futures, 0s).done.size() == 2 ? 0 : 1;
        wrong += muster::wait(futures, 1h).done.size() == 3 ? 0 : 1;
        return wrong;
    });
    CHECK(task.result() == 0);
}

}  // namespace future_then_executor_test
