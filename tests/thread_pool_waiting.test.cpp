// SPDX-License-Identifier: MIT
// ctest: concurrency
// Tasks of a thread pool that wait for other tasks of the same pool, with as few workers as there
// can be: nothing hangs, and nothing runs on top of a waiting task but what that one waits for.
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/wait.hpp>
#include <muster/when.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "support/asleep.hpp"
#include "support/event.hpp"

namespace thread_pool_waiting_test {

namespace {

using muster::Future;
using muster::ThreadPoolExecutor;
using muster::test::Event;
using namespace std::chrono_literals;

// How deep calls may go; ThreadSanitizer's and AddressSanitizer's frames are large.
constexpr int deep = 200;

int depth_by_result(ThreadPoolExecutor& pool, int levels) {
    if (levels == 0) return 0;
    return 1 + pool.submit([&pool, levels] { return depth_by_result(pool, levels - 1); }).result();
}

int fibonacci(ThreadPoolExecutor& pool, int n) {
    if (n < 2) return n;
    auto one = pool.submit([&pool, n] { return fibonacci(pool, n - 1); });
    auto two = pool.submit([&pool, n] { return fibonacci(pool, n - 2); });
    return one.result() + two.result();
}

}  // namespace

TEST_CASE("one worker runs tasks that wait for their subtasks, to any depth") {
    ThreadPoolExecutor pool(1);
    CHECK(pool.submit([&] { return depth_by_result(pool, deep); }).result() == deep);
    CHECK(pool.submit([&] { return fibonacci(pool, 12); }).result() == 144);
}

TEST_CASE("a few workers run tasks that wait for their subtasks") {
    ThreadPoolExecutor pool(3);
    CHECK(pool.submit([&] { return fibonacci(pool, 14); }).result() == 377);
    std::vector<Future<int>> several;
    for (int i = 0; i < 10; ++i)
        several.push_back(pool.submit([&] { return depth_by_result(pool, 30); }));
    for (const auto& one : several) CHECK(one.result() == 30);
}

TEST_CASE("one worker runs a task that waits for an older or a younger one") {
    ThreadPoolExecutor pool(1);
    const Event gate;
    pool.post([gate] { gate.wait(); });
    Future<int> younger;
    auto first = pool.submit([&] { return younger.result() + 1; });
    auto unrelated = pool.submit([] { return 10; });
    younger = pool.submit({.priority = -1}, [] { return 1; });
    auto last = pool.submit([&] { return unrelated.result() + first.result(); });
    gate.set();

    CHECK(first.result() == 2);
    CHECK(last.result() == 12);
}

TEST_CASE("one worker runs what is waited for with wait, wait_for, exception and a time limit") {
    ThreadPoolExecutor pool(1);
    const auto inside = [&](auto use) {
        return pool.submit([&] { return use(pool.submit([] { return 1; })); }).result();
    };
    CHECK(inside([](const Future<int>& f) { return f.wait(), f.done(); }));
    CHECK(inside([](const Future<int>& f) { return f.wait_for(1h); }));
    CHECK(inside(
        [](const Future<int>& f) { return f.wait_until(std::chrono::steady_clock::now() + 1h); }));
    CHECK(inside([](const Future<int>& f) { return f.exception() == nullptr; }));
    CHECK(inside([](const Future<int>& f) { return f.result(1h); }) == 1);
}

TEST_CASE("one worker runs what wait waits for") {
    ThreadPoolExecutor pool(1);
    const auto count = pool.submit([&] {
        std::vector<Future<int>> futures;
        for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([i] { return i; }));
        const auto first = muster::wait(futures, muster::ReturnWhen::first_completed).done.size();
        return std::pair(first, muster::wait(futures).done.size());
    });
    CHECK(count.result().first >= 1);
    CHECK(count.result().second == 20);
}

TEST_CASE("one worker runs what as_completed waits for") {
    ThreadPoolExecutor pool(1);
    const auto sum = pool.submit([&] {
        std::vector<Future<int>> futures;
        for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([i] { return i; }));
        int total = 0;
        for (const auto& future : muster::as_completed(futures)) total += future.result();
        return total;
    });
    CHECK(sum.result() == 190);
}

TEST_CASE("one worker runs what then depends on") {
    ThreadPoolExecutor pool(1);
    CHECK(pool.submit([&] {
                  return pool.submit([] { return 1; }).then([](int x) { return x + 1; }).result();
              })
              .result() == 2);
    CHECK(pool.submit([&] {
                  return pool.submit([] { return 1; })
                      .then(pool, [](int x) { return x + 1; })
                      .then(pool, [](int x) { return x + 1; })
                      .result();
              })
              .result() == 3);
    CHECK(pool.submit([&] {  // A future that a continuation returns is waited for too.
                  return pool.submit([] { return 1; })
                      .then([&](int x) { return pool.submit([x] { return x + 10; }); })
                      .result();
              })
              .result() == 11);
}

TEST_CASE("one worker runs what when_all and when_any depend on") {
    ThreadPoolExecutor pool(1);
    CHECK(pool.submit([&] {
                  std::vector<Future<int>> futures;
                  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit([i] { return i; }));
                  int total = 0;
                  for (const int x : muster::when_all(futures).result()) total += x;
                  return total;
              })
              .result() == 45);
    CHECK(pool.submit([&] {
                  auto [a, b] =
                      muster::when_all(
                          pool.submit([] { return 1; }),
                          pool.submit([] { return 2; }).then(pool, [](int x) { return x + 1; }))
                          .result();
                  return a + b;
              })
              .result() == 4);
    CHECK(pool.submit([&] {
                  std::vector<Future<int>> futures{pool.submit([] { return 5; }),
                                                   pool.submit([] { return 5; })};
                  return muster::when_any(futures).result().future.result();
              })
              .result() == 5);
}

TEST_CASE("one worker runs map and for_each from inside a task") {
    ThreadPoolExecutor pool(1);
    const auto total = pool.submit([&] {
        int sum = 0;
        for (const int x : pool.map([](int n) { return 2 * n; }, std::vector{1, 2, 3})) sum += x;
        std::atomic<int> visited{0};
        pool.for_each([&](int n) { visited += n; }, std::vector{1, 2, 3});
        return sum + visited;
    });
    CHECK(total.result() == 18);
}

TEST_CASE("a task that waits for the one underneath is not run on top of it") {
    // The second task waits for the first, and the third is what the first waits for. Whoever ran
    // the second while the first waits would never come back.
    ThreadPoolExecutor pool(1);
    const Event gate;
    pool.post([gate] { gate.wait(); });
    Future<int> second;
    Future<int> third;
    const Future<int> first = pool.submit([&] { return third.result() + 1; });
    second = pool.submit([&] { return first.result() + 1; });
    third = pool.submit([] { return 1; });
    gate.set();

    CHECK(second.result() == 3);
}

TEST_CASE("what waits for a task that runs elsewhere runs nothing on top") {
    ThreadPoolExecutor pool(2);
    const Event elsewhere_begun;
    const Event waiting;
    const Event gate;
    auto elsewhere = pool.submit([elsewhere_begun, gate] {
        elsewhere_begun.set();
        gate.wait();
        return 1;
    });
    elsewhere_begun.wait();
    auto waits = pool.submit([&, waiting] {
        waiting.set();
        return elsewhere.result() + 1;
    });
    waiting.wait();
    auto needs_it = pool.submit([&] { return waits.result() + 1; });
    CHECK_FALSE(needs_it.wait_for(2ms));
    gate.set();

    CHECK(needs_it.result() == 3);
}

TEST_CASE("what wait does not need is not run on top of the waiting task") {
    // The second future is done only after the first is, and after the waiter did something.
    ThreadPoolExecutor pool(2);
    const Event waiter_went_on;
    auto waiter = pool.submit([&, waiter_went_on] {
        std::vector<Future<int>> futures{pool.submit([] { return 1; }),
                                         pool.submit([waiter_went_on] {
                                             waiter_went_on.wait();
                                             return 2;
                                         })};
        SUBCASE("wait") {
            (void)muster::wait(futures, muster::ReturnWhen::first_completed);
            waiter_went_on.set();
        }
        SUBCASE("as_completed") {
            for (const auto& future : muster::as_completed(futures)) {
                (void)future;
                waiter_went_on.set();
            }
        }
        return futures[1].result();
    });

    CHECK(waiter.result() == 2);
}

TEST_CASE("what the task underneath cannot give, one worker runs on top") {
    ThreadPoolExecutor pool(1);
    muster::Promise<Future<bool>> own;
    const Future<bool> underneath = pool.submit([&] {
        const Future<bool> self = own.get_future().result();
        return pool
            .submit([&] {
                const auto quick = pool.submit([] { return true; });
                const auto first = muster::wait(std::vector{self, quick},
                                                muster::ReturnWhen::first_completed, 60s);
                return first.done == std::vector{quick};
            })
            .result();
    });
    own.set_result(underneath);
    CHECK(underneath.result());
}

TEST_CASE("one worker runs what a link has come to wait for") {
    ThreadPoolExecutor pool(1);
    CHECK(pool.submit([&] {
                  const auto done = pool.submit([] { return 1; });
                  done.wait();
                  const auto queued = done.then(pool, [](int x) { return x + 1; });
                  const auto returned =
                      done.then([&](int x) { return pool.submit([x] { return x + 2; }); });
                  muster::wait(std::vector{queued});
                  int sum = queued.result();
                  for (const auto& each : muster::as_completed(std::vector{returned}))
                      sum += each.result();
                  return sum;
              })
              .result() == 5);
}

TEST_CASE("one worker runs the end of a chain that begins in another pool") {
    ThreadPoolExecutor other(1);
    for (const bool by_wait : {false, true}) {
        ThreadPoolExecutor pool(1);
        const Event waits;
        const auto outcome = pool.submit([&] {
            const auto link = other.submit([waits] { return waits.wait_for(200s) ? 1 : 0; })
                                  .then(pool, [](int x) { return x + 1; })
                                  .then([](int x) { return x + 1; });
            waits.set();
            if (by_wait) muster::wait(std::vector{link});
            return link.result();
        });
        CHECK(outcome.result() == 3);
    }
}

TEST_CASE("a callback may wait for another task of its pool, with one worker") {
    ThreadPoolExecutor pool(1);
    std::atomic<int> result{0};
    pool.submit([] {}).add_done_callback(
        [&](const auto&) { result = pool.submit([] { return 4; }).result(); });
    pool.wait_idle();
    CHECK(result == 4);
}

TEST_CASE("a task that waits for its own result by way of a time limit gets TimeoutError") {
    ThreadPoolExecutor pool(1);
    std::optional<Future<bool>> self;
    const Event known;
    self = pool.submit([&, known] {
        known.wait();
        try {
            (void)self->result(1ms);
            return false;
        } catch (const muster::TimeoutError&) {
            return true;
        }
    });
    known.set();
    CHECK(self->result());
}

TEST_CASE("two pools of one worker whose tasks wait for each other's do not hang") {
    ThreadPoolExecutor one(1);
    ThreadPoolExecutor other(1);
    std::function<int(int)> alternate = [&](int levels) -> int {
        if (levels == 0) return 0;
        ThreadPoolExecutor& next = levels % 2 == 0 ? one : other;
        return 1 + next.submit([&, levels] { return alternate(levels - 1); }).result();
    };
    CHECK(one.submit([&] { return alternate(2); }).result() == 2);
}

TEST_CASE("cancelling what a task waits for lets it go on") {
    ThreadPoolExecutor pool(2);
    const Event begun;
    const Event gate;
    auto blocker = pool.submit([begun, gate] {
        begun.set();
        gate.wait();
    });
    begun.wait();
    muster::Promise<int> promise;
    const auto never = promise.get_future();
    auto waiter = pool.submit([&] {
        try {
            (void)never.result();
            return false;
        } catch (const muster::CancelledError&) {
            return true;
        }
    });
    CHECK(never.cancel());
    CHECK(waiter.result());
    gate.set();
}

TEST_CASE("a worker runs what a join needs that a link has come to depend on") {
    ThreadPoolExecutor pool(1);
    muster::Promise<int> promise;
    std::atomic<long long> waiting{0};
    auto task = pool.submit([&] {
        auto one = pool.submit([] { return 1; });
        auto two = pool.submit([] { return 2; });
        auto link = promise.get_future().then([=](int) { return muster::when_all(one, two); });
        waiting = muster::detail::os::thread_id();
        return std::get<1>(link.result());
    });
    REQUIRE(muster::test::falls_asleep(muster::test::KnownThread{waiting}));
    promise.set_result(0);
    REQUIRE(task.wait_for(muster::test::patience));
    CHECK(task.result() == 2);
}

TEST_CASE("a worker that waits for a join leaves alone what only a join that is done had needed") {
    ThreadPoolExecutor pool(1);
    muster::Promise<int> promise;
    std::atomic<long long> waiting{0};
    std::atomic<bool> loser_ran{false};
    auto task = pool.submit([&] {
        auto winner = pool.submit([] { return 1; });
        winner.wait();
        auto loser = pool.submit([&] { return loser_ran = true, 2; });
        auto any = muster::when_any(winner, loser);
        auto all = muster::when_all(any, promise.get_future());
        waiting = muster::detail::os::thread_id();
        all.wait();
        return loser_ran.load();
    });
    REQUIRE(muster::test::falls_asleep(muster::test::KnownThread{waiting}));
    promise.set_result(0);
    REQUIRE(task.wait_for(muster::test::patience));
    CHECK_FALSE(task.result());
}

}  // namespace thread_pool_waiting_test
