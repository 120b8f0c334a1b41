// SPDX-License-Identifier: MIT
// ctest: concurrency
// A copy of the process made by fork() while thread pools exist.
#include <muster/inline_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "support/event.hpp"
#include "support/in_copy.hpp"
#include "support/orphan.hpp"

namespace thread_pool_fork_test {

namespace {

using muster::ThreadPoolExecutor;
using muster::test::Event;
using muster::test::in_copy;

template <typename Error>
bool throws(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error&) {
        return true;
    }
    return false;
}

// AddressSanitizer's allocator has locks that another thread may hold when a copy is made. Since
// clang 17 it takes them before.
#if defined(TEST_SANITIZED) && !defined(TEST_THREAD_SANITIZER) && \
    !(defined(__clang__) && __clang_major__ >= 17)
constexpr bool safe_allocator = false;
#else
constexpr bool safe_allocator = true;
#endif

ThreadPoolExecutor& global_pool() {
    static ThreadPoolExecutor pool(2);
    return pool;
}

}  // namespace

TEST_CASE("a copy of the process may destroy an executor whose tasks had time limits" *
          doctest::skip(!safe_allocator)) {
    auto executor = std::make_unique<muster::InlineExecutor>();
    CHECK(executor->submit({.timeout = std::chrono::hours(1)}, [] { return 1; }).result() == 1);
    CHECK(in_copy([&] {
              executor.reset();
              return 3;
          }) == 3);
}

TEST_CASE("in a copy of the process its pools are unusable") {
    ThreadPoolExecutor pool(2);
    const Event gate;
    auto busy = pool.submit([gate] { gate.wait(); });
    const auto refuses = [](const std::function<void()>& call) {
        return throws<muster::InvalidStateError>(call);
    };

    CHECK(in_copy([&] {
              if (!refuses([&] { (void)pool.submit([] {}); })) return 1;
              if (!refuses([&] { (void)pool.try_submit([] {}); })) return 2;
              if (!refuses([&] { pool.post([] {}); })) return 3;
              if (!refuses([&] { (void)pool.map([](int x) { return x; }, std::vector{1}); }))
                  return 4;
              if (!refuses([&] { pool.for_each([](int) {}, std::vector{1}); })) return 5;
              return 0;
          }) == 0);

    gate.set();
    busy.result();
    CHECK(pool.submit([] { return 1; }).result() == 1);  // Here nothing has changed.
}

TEST_CASE("in a copy of the process its pools neither wait nor touch anything") {
    auto pool = std::make_unique<ThreadPoolExecutor>(2);
    const Event gate;
    auto busy = pool->submit([gate] { gate.wait(); });
    auto queued = pool->submit([gate] { gate.wait(); });

    CHECK(in_copy([&] {
              pool->wait_idle();
              pool->shutdown();
              pool->shutdown({.cancel_futures = true});
              (void)pool->stats();
              pool.reset();
              return 0;
          }) == 0);

    CHECK_FALSE(busy.done());
    CHECK_FALSE(queued.done());
    gate.set();
    queued.result();
}

TEST_CASE("in a copy of the process nobody waits for outcomes that are only in the original") {
    ThreadPoolExecutor pool(1);
    const Event begun;
    const Event gate;
    auto running = pool.submit([begun, gate] {
        begun.set();
        gate.wait();
        return 1;
    });
    begun.wait();
    auto queued = pool.submit([] { return 2; });
    auto tried_again = pool.submit({.retries = 1}, [] { return 3; });
    for (const auto& pending : {running, queued, tried_again, queued.then([](int x) { return x; })})
        CHECK(in_copy([&] { return muster::test::ask_orphan(pending); }) == 0);
    gate.set();
    CHECK(running.result() + queued.result() + tried_again.result() == 6);
    CHECK(in_copy([&] { return queued.result(); }) == 2);  // It was there before.
    CHECK(in_copy([&] {
              ThreadPoolExecutor own(1);
              return queued.then(own, [](int x) { return x + 2; }).result();
          }) == 4);
}

TEST_CASE("a copy of the process ends without waiting for pools that it inherited") {
    ThreadPoolExecutor pool(1);
    const Event gate;
    auto busy = pool.submit([gate] { gate.wait(); });
    auto of_global = global_pool().submit([gate] { gate.wait(); });

    CHECK(in_copy([] { return 5; }) == 5);

    gate.set();
    of_global.result();
}

TEST_CASE("a pool made in a copy of the process works") {
    ThreadPoolExecutor pool(2);
    pool.submit([] {}).result();

    CHECK(in_copy([] {
              ThreadPoolExecutor own(2);
              int sum = 0;
              for (const int x : own.map([](int n) { return 2 * n; }, std::vector{1, 2, 3}))
                  sum += x;
              return sum;
          }) == 12);
}

TEST_CASE("a pool that was made before the fork, but had nothing to do, is unusable after it") {
    ThreadPoolExecutor pool(2);
    CHECK(in_copy([&] {
              return throws<muster::InvalidStateError>([&] { (void)pool.submit([] {}); }) ? 0 : 1;
          }) == 0);
    CHECK(pool.submit([] { return 1; }).result() == 1);
}

TEST_CASE("a task may fork, and the copy ends without waiting for the other threads") {
    ThreadPoolExecutor pool(2);
    const Event gate;
    auto other = pool.submit([gate] { gate.wait(); });
    auto forks = pool.submit([&] {
        return in_copy([&] {
            if (!throws<muster::InvalidStateError>([&] { (void)pool.submit([] {}); })) return 1;
            return ThreadPoolExecutor(1).submit([] { return 6; }).result();
        });
    });
    CHECK(forks.result() == 6);
    gate.set();
}

TEST_CASE("a copy of a copy may make pools as well") {
    ThreadPoolExecutor pool(1);
    pool.submit([] {}).result();
    CHECK(in_copy([] {
              ThreadPoolExecutor own(1);
              own.submit([] {}).result();
              return in_copy([&] {
                  if (!throws<muster::InvalidStateError>([&] { (void)own.submit([] {}); }))
                      return 1;
                  return ThreadPoolExecutor(1).submit([] { return 3; }).result();
              });
          }) == 3);
}

TEST_CASE("copies made while pools are at work have no lock that stays held" *
          doctest::skip(!safe_allocator)) {
    ThreadPoolExecutor pool(2);
    std::atomic<bool> stop{false};
    std::function<void()> again = [&] {
        if (!stop) pool.post(again);
    };
    pool.post(again);
    pool.post(again);
    int failed = 0;
    for (int i = 0; i < 20; ++i)
        failed += in_copy([] {
                      ThreadPoolExecutor own(2);
                      return own.submit([] { return 4; }).result();
                  }) != 4;
    stop = true;
    pool.wait_idle();
    CHECK(failed == 0);
}

}  // namespace thread_pool_fork_test
