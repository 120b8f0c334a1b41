// SPDX-License-Identifier: MIT
// ctest: concurrency
// CPython's test_concurrent_futures/test_future.py, and mpi4py's cases of continuations. The names
// in brackets are the cases' names there.
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/when.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/event.hpp"
#include "support/futures.hpp"

namespace conformance_future_test {

namespace {

using muster::Future;
using muster::Promise;
using muster::test::Event;
using muster::test::failed;
using muster::test::ready;
using namespace std::chrono_literals;

std::exception_ptr error(const char* words) {
    return std::make_exception_ptr(std::domain_error(words));
}

// CPython's fixed futures. Cancelled is one state here, so there are five of them.
struct Fixed {
    Promise<int> pending_promise;
    Promise<int> running_promise = muster::test::running_promise<int>();
    Future<int> pending = pending_promise.get_future();
    Future<int> running = running_promise.get_future();
    Future<int> cancelled = muster::test::cancelled<int>();
    Future<int> exception =
        failed<int>(std::system_error(std::make_error_code(std::errc::io_error)));
    Future<int> successful = ready(42);
};

// What a callback saw.
struct Seen {
    int calls = 0;
    int value = -1;
    bool cancelled = false;
    std::string error = {};

    auto callback() {
        return [this](const Future<int>& future) {
            ++calls;
            if (!future.done()) return;
            try {
                value = future.result();
            } catch (const muster::CancelledError&) {
                cancelled = true;
            } catch (const std::exception& thrown) {
                error = thrown.what();
            }
        };
    }
};

}  // namespace

TEST_CASE("a callback sees the result [test_done_callback_with_result]") {
    Seen seen;
    Promise<int> promise;
    promise.get_future().add_done_callback(seen.callback());
    CHECK(seen.calls == 0);
    promise.set_result(5);

    CHECK(seen.value == 5);
    CHECK(seen.calls == 1);
}

TEST_CASE("a callback sees the exception [test_done_callback_with_exception]") {
    Seen seen;
    Promise<int> promise;
    promise.get_future().add_done_callback(seen.callback());
    promise.set_exception(error("test"));

    CHECK(seen.error == "test");
    CHECK(seen.calls == 1);
}

TEST_CASE("a callback sees that the future was cancelled [test_done_callback_with_cancel]") {
    Seen seen;
    const Promise<int> promise;
    promise.get_future().add_done_callback(seen.callback());
    CHECK(promise.get_future().cancel());

    CHECK(seen.cancelled);
    CHECK(seen.calls == 1);
}

TEST_CASE(
    "a callback that throws disturbs no other "
    "[test_done_callback_raises, pebble test_process_pool_callback_error]") {
    // Adapted: on_error gets it, where Python's log has it.
    std::vector<std::string> errors;
    muster::ThreadPoolExecutor pool({.max_workers = 1, .on_error = [&](std::exception_ptr thrown) {
                                         try {
                                             std::rethrow_exception(thrown);
                                         } catch (const std::exception& e) {
                                             errors.emplace_back(e.what());
                                         }
                                     }});
    const Event gate;
    Seen seen;
    auto future = pool.submit([gate] {
        gate.wait();
        return 5;
    });
    future.add_done_callback([](const auto&) { throw std::domain_error("doh!"); });
    future.add_done_callback(seen.callback());
    gate.set();
    pool.wait_idle();

    CHECK(errors == std::vector<std::string>{"doh!"});
    CHECK(seen.value == 5);
    CHECK(future.result() == 5);

    Promise<int> promise;
    promise.get_future().add_done_callback([](const auto&) { throw std::domain_error("doh!"); });
    promise.get_future().add_done_callback(seen.callback());
    CHECK_NOTHROW(promise.set_result(6));
    CHECK(seen.value == 6);
}

TEST_CASE(
    "a callback is called at once when the result is there "
    "[test_done_callback_already_successful]") {
    Seen seen;
    ready(5).add_done_callback(seen.callback());

    CHECK(seen.value == 5);
}

TEST_CASE(
    "a callback is called at once when the task has failed "
    "[test_done_callback_already_failed]") {
    Seen seen;
    failed<int>(std::domain_error("test")).add_done_callback(seen.callback());

    CHECK(seen.error == "test");
}

TEST_CASE(
    "a callback is called at once when the future was cancelled "
    "[test_done_callback_already_cancelled]") {
    Seen seen;
    muster::test::cancelled<int>().add_done_callback(seen.callback());

    CHECK(seen.cancelled);
}

TEST_CASE(
    "what a callback throws at once is not thrown to who adds it "
    "[test_done_callback_raises_already_succeeded]") {
    const auto future = ready(5);

    CHECK_NOTHROW(future.add_done_callback([](const auto&) { throw std::domain_error("doh!"); }));
}

TEST_CASE("cancel succeeds for what has not begun [test_cancel]") {
    const Fixed fixed;

    CHECK(fixed.pending.cancel());
    CHECK(fixed.pending.cancelled());
    CHECK_FALSE(fixed.running.cancel());
    CHECK(fixed.running.running());
    CHECK(fixed.cancelled.cancel());
    CHECK(fixed.cancelled.cancelled());
    CHECK_FALSE(fixed.exception.cancel());
    CHECK(fixed.exception.done());
    CHECK_FALSE(fixed.successful.cancel());
    CHECK(fixed.successful.result() == 42);
}

TEST_CASE("a future tells its state [test_cancelled, test_done, test_running]") {
    const Fixed fixed;

    CHECK_FALSE(fixed.pending.cancelled());
    CHECK_FALSE(fixed.running.cancelled());
    CHECK(fixed.cancelled.cancelled());
    CHECK_FALSE(fixed.exception.cancelled());
    CHECK_FALSE(fixed.successful.cancelled());

    CHECK_FALSE(fixed.pending.done());
    CHECK_FALSE(fixed.running.done());
    CHECK(fixed.cancelled.done());
    CHECK(fixed.exception.done());
    CHECK(fixed.successful.done());

    CHECK_FALSE(fixed.pending.running());
    CHECK(fixed.running.running());
    CHECK_FALSE(fixed.cancelled.running());
    CHECK_FALSE(fixed.exception.running());
    CHECK_FALSE(fixed.successful.running());
}

TEST_CASE("asking for the result without time to wait [test_result_with_timeout]") {
    const Fixed fixed;

    CHECK_THROWS_AS((void)fixed.pending.result(0s), muster::TimeoutError);
    CHECK_THROWS_AS((void)fixed.running.result(0s), muster::TimeoutError);
    CHECK_THROWS_AS((void)fixed.cancelled.result(0s), muster::CancelledError);
    CHECK_THROWS_AS((void)fixed.exception.result(0s), std::system_error);
    CHECK(fixed.successful.result(0s) == 42);
}

TEST_CASE("asking for the exception without time to wait [test_exception_with_timeout]") {
    const Fixed fixed;

    CHECK_THROWS_AS((void)fixed.pending.exception(0s), muster::TimeoutError);
    CHECK_THROWS_AS((void)fixed.running.exception(0s), muster::TimeoutError);
    CHECK_THROWS_AS((void)fixed.cancelled.exception(0s), muster::CancelledError);
    CHECK(fixed.exception.exception(0s) != nullptr);
    CHECK(fixed.successful.exception(0s) == nullptr);
}

TEST_CASE("a result set in another thread ends the wait [test_result_with_success]") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    const std::jthread setter([&] { promise.set_result(42); });

    CHECK(future.result(60s) == 42);
}

TEST_CASE("cancel in another thread ends the wait [test_result_with_cancel]") {
    const Promise<int> promise;
    const Future<int> future = promise.get_future();
    const std::jthread canceller([future] { future.cancel(); });

    CHECK_THROWS_AS((void)future.result(60s), muster::CancelledError);
}

TEST_CASE("an exception set in another thread ends the wait [test_exception_with_success]") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    const std::jthread setter([&] { promise.set_exception(error("test")); });

    CHECK(future.exception(60s) != nullptr);
    CHECK_THROWS_WITH_AS((void)future.result(), "test", std::domain_error);
}

TEST_CASE("a second result is refused, and the first stays [test_multiple_set_result]") {
    Promise<int> promise;
    promise.set_result(1);

    CHECK_THROWS_AS(promise.set_result(2), muster::InvalidStateError);

    CHECK(promise.get_future().result() == 1);
}

TEST_CASE("a second exception is refused, and the first stays [test_multiple_set_exception]") {
    Promise<int> promise;
    promise.set_exception(error("first"));

    CHECK_THROWS_AS(promise.set_exception(error("second")), muster::InvalidStateError);

    CHECK_THROWS_WITH_AS((void)promise.get_future().result(), "first", std::domain_error);
}

TEST_CASE(
    "an exception for a cancelled future is refused "
    "[deadpool test_set_exception_on_cancelled_future]") {
    Promise<int> promise;
    promise.get_future().cancel();

    CHECK_FALSE(promise.set_running_or_notify_cancel());
    CHECK_THROWS_AS(promise.set_exception(error("late")), muster::InvalidStateError);

    CHECK(promise.get_future().cancelled());
}

TEST_CASE("threads that ask a done future get the same [test_get_snapshot]") {
    // Adapted: there is no snapshot to be had, but what is done does not change.
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    std::atomic<int> wrong{0};
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                for (int reads = 0; reads < 1000;) {
                    if (!future.done()) continue;
                    ++reads;
                    if (future.running() || future.cancelled() || future.result() != 42) ++wrong;
                }
            });
        promise.set_result(42);
    }
    CHECK(wrong == 0);
}

// --- mpi4py, test_util_pool and ThenableFuture

TEST_CASE("a continuation gets the value, and its future the continuation's [mpi4py test_then]") {
    Promise<int> promise;
    const auto chain = promise.get_future()
                           .then([](int x) { return x + 1; })
                           .then([](int x) { return ready(2 * x); })  // Unwrapped.
                           .then([](int x) { return std::to_string(x); });
    CHECK_FALSE(chain.done());
    promise.set_result(4);

    CHECK(chain.result() == "10");
}

TEST_CASE("an error and a cancellation pass continuations by [mpi4py test_catch, compose]") {
    // Adapted: there is no catch; the error is in the last future.
    bool called = false;
    const auto pass = [&](int x) {
        called = true;
        return x;
    };
    CHECK_THROWS_AS((void)failed<int>(std::domain_error("test")).then(pass).then(pass).result(),
                    std::domain_error);
    CHECK(muster::test::cancelled<int>().then(pass).then(pass).cancelled());
    CHECK_THROWS_AS((void)ready(1).then([](int) -> int { throw std::domain_error("x"); }).result(),
                    std::domain_error);
    CHECK_FALSE(called);
}

TEST_CASE("a continuation that gives its own future is an error [mpi4py test_cycle]") {
    Promise<int> promise;
    std::optional<Future<int>> own;
    own = promise.get_future().then([&](int) { return *own; });
    promise.set_result(1);

    CHECK_THROWS_AS((void)own->result(60s), muster::InvalidStateError);
}

TEST_CASE("when_all has the values, and the first error or cancellation [mpi4py collect]") {
    Promise<int> first, second;
    const auto all = muster::when_all(std::vector{first.get_future(), second.get_future()});
    second.set_result(2);
    CHECK_FALSE(all.done());
    first.set_result(1);
    CHECK(all.result() == std::vector{1, 2});

    const Fixed fixed;
    CHECK_THROWS_AS((void)muster::when_all(fixed.pending, fixed.exception).result(60s),
                    std::system_error);
    CHECK(muster::when_all(fixed.pending, fixed.cancelled).cancelled());
}

}  // namespace conformance_future_test
