// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <muster/future.hpp>
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace future_test {

using muster::AnyFuture;
using muster::CancelledError;
using muster::Future;
using muster::InvalidStateError;
using muster::Promise;
using muster::TimeoutError;
using muster::test::cancelled;
using muster::test::failed;
using muster::test::ready;
using muster::test::running_promise;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_default_constructible_v<Future<int>>);
static_assert(std::is_nothrow_move_constructible_v<Future<int>>);
static_assert(std::is_nothrow_move_assignable_v<Future<int>>);
static_assert(std::is_nothrow_copy_constructible_v<Future<std::unique_ptr<int>>>);
static_assert(std::is_convertible_v<Future<int>, AnyFuture>);
static_assert(!std::is_convertible_v<AnyFuture, Future<int>>);
static_assert(std::is_same_v<decltype(std::declval<Future<int>&>().result()), const int&>);
static_assert(std::is_same_v<decltype(std::declval<Future<int>&>().result(1s)), const int&>);
static_assert(std::is_same_v<decltype(std::declval<Future<int>>().result()), int>);
static_assert(std::is_same_v<decltype(std::declval<Future<int>>().result(1s)), int>);
static_assert(std::is_void_v<decltype(std::declval<Future<void>&>().result())>);
static_assert(std::is_void_v<decltype(std::declval<Future<void>>().result(1s))>);

TEST_CASE("done, running and cancelled tell where a future stands") {
    Promise<int> pending;
    Promise<int> running = running_promise<int>();
    struct Row {
        Future<int> future;
        bool done, running, cancelled;
    };
    const std::array rows{
        Row{pending.get_future(), false, false, false},
        Row{running.get_future(), false, true, false},
        Row{cancelled<int>(), true, false, true},
        Row{failed<int>(std::runtime_error("no")), true, false, false},
        Row{ready(42), true, false, false},
    };
    for (const Row& row : rows) {
        CHECK(row.future.valid());
        CHECK(row.future.done() == row.done);
        CHECK(row.future.running() == row.running);
        CHECK(row.future.cancelled() == row.cancelled);
    }
}

TEST_CASE("cancel is true if the task will never run, again and again, and false otherwise") {
    Promise<int> pending;
    Promise<int> running = running_promise<int>();
    const Future<int> future = pending.get_future();
    CHECK(future.cancel());
    CHECK(future.cancel());
    CHECK(future.cancelled());
    CHECK_FALSE(running.get_future().cancel());
    CHECK(running.get_future().running());
    CHECK_FALSE(failed<int>(std::runtime_error("no")).cancel());
    CHECK_FALSE(ready(42).cancel());
}

TEST_CASE("request_stop is false where nobody listens") {
    Promise<int> running = running_promise<int>();
    CHECK_FALSE(running.get_future().request_stop());
    CHECK_FALSE(ready(42).request_stop());
}

TEST_CASE("an empty future answers valid, comparison and assignment; everything else throws") {
    Future<int> empty;
    CHECK_FALSE(empty.valid());
    CHECK_FALSE(AnyFuture().valid());
    CHECK(empty == Future<int>());
    CHECK(std::hash<Future<int>>{}(empty) == std::hash<Future<int>>{}(Future<int>()));
    CHECK_THROWS_AS((void)empty.done(), InvalidStateError);
    CHECK_THROWS_AS((void)empty.running(), InvalidStateError);
    CHECK_THROWS_AS((void)empty.cancelled(), InvalidStateError);
    CHECK_THROWS_AS(empty.cancel(), InvalidStateError);
    CHECK_THROWS_AS(empty.request_stop(), InvalidStateError);
    CHECK_THROWS_AS(empty.wait(), InvalidStateError);
    CHECK_THROWS_AS(empty.wait_for(0s), InvalidStateError);
    CHECK_THROWS_AS(empty.wait_until(std::chrono::steady_clock::now()), InvalidStateError);
    CHECK_THROWS_AS((void)empty.exception(), InvalidStateError);
    CHECK_THROWS_AS((void)empty.exception(0s), InvalidStateError);
    CHECK_THROWS_AS((void)empty.result(), InvalidStateError);
    CHECK_THROWS_AS((void)empty.result(0s), InvalidStateError);
    CHECK_THROWS_AS((void)Future<int>().result(), InvalidStateError);
    CHECK_THROWS_AS((void)Future<int>().result(0s), InvalidStateError);
    CHECK_THROWS_AS(empty.add_done_callback([](const Future<int>&) {}), InvalidStateError);
    CHECK_THROWS_AS((void)empty.then([](int) {}), InvalidStateError);
    CHECK_THROWS_AS((void)Future<int>().then([](int) {}), InvalidStateError);
    empty = ready(1);
    CHECK(empty.valid());
}

TEST_CASE("a moved-from future is empty, and assigning a future to itself keeps it") {
    Future<int> future = ready(1);
    const Future<int> other = std::move(future);
    CHECK_FALSE(future.valid());  // NOLINT(bugprone-use-after-move): that is the promise.
    CHECK(other.result() == 1);
    Future<int> self = other;
    Future<int>& alias = self;
    self = alias;
    CHECK(self == other);
    self = std::move(alias);
    CHECK(self == other);
}

TEST_CASE("a named future keeps its value: each result() is the same object") {
    const Future<std::string> future = ready(std::string("kept"));
    const Future<std::string> copy = future;
    CHECK(&future.result() == &future.result());
    CHECK(&future.result() == &copy.result(0s));
    CHECK(future.result() == "kept");
}

TEST_CASE("an rvalue future gives the value away, and every other access to it throws") {
    Future<std::string> future = ready(std::string(100, 'x'));
    Future<std::string> copy = future;
    Future<std::string> third = future;
    SUBCASE("result()") { CHECK(std::move(future).result() == std::string(100, 'x')); }
    SUBCASE("result(timeout)") { CHECK(std::move(future).result(0s) == std::string(100, 'x')); }
    CHECK_THROWS_AS((void)copy.result(), InvalidStateError);
    CHECK_THROWS_AS((void)copy.result(0s), InvalidStateError);
    CHECK_THROWS_AS((void)std::move(copy).result(), InvalidStateError);
    CHECK_THROWS_AS((void)std::move(third).result(1h), InvalidStateError);
    CHECK(third.done());
    CHECK_FALSE(third.cancelled());
    CHECK_FALSE(third.cancel());
    CHECK(third.exception() == nullptr);
    third.wait();
}

TEST_CASE("a future that failed or was cancelled is not taken by an rvalue result()") {
    Future<int> future = failed<int>(std::out_of_range("far"));
    const Future<int> copy = future;
    CHECK_THROWS_AS((void)std::move(future).result(), std::out_of_range);
    CHECK_THROWS_AS((void)copy.result(), std::out_of_range);
    Future<int> dropped = cancelled<int>();
    const Future<int> same = dropped;
    CHECK_THROWS_AS((void)std::move(dropped).result(), CancelledError);
    CHECK_THROWS_AS((void)same.result(), CancelledError);
}

TEST_CASE("result rethrows what the task threw, with its own type, as often as it is asked") {
    struct Own {
        int code;
    };
    const Future<int> future = failed<int>(Own{7});
    for (int i = 0; i < 3; ++i) {
        int code = 0;
        try {
            (void)future.result();
        } catch (const Own& thrown) {
            code = thrown.code;
        }
        CHECK(code == 7);
    }
    CHECK_THROWS_AS((void)future.result(1h), Own);
    CHECK_THROWS_AS((void)failed<int>(5).result(), int);
    CHECK_THROWS_WITH_AS((void)failed<void>(std::domain_error("words")).result(), "words",
                         std::domain_error);
}

TEST_CASE("exception is null for success, the task's for failure, and CancelledError is thrown") {
    CHECK(ready(42).exception() == nullptr);
    CHECK(ready().exception(0s) == nullptr);
    const std::exception_ptr error = failed<int>(std::out_of_range("far")).exception();
    CHECK_THROWS_WITH_AS(std::rethrow_exception(error), "far", std::out_of_range);
    CHECK(failed<int>(std::out_of_range("far")).exception(0s) != nullptr);
    CHECK_THROWS_AS((void)cancelled<int>().exception(), CancelledError);
    CHECK_THROWS_AS((void)cancelled<int>().exception(1h), CancelledError);
}

TEST_CASE("with a time limit, what is not there is a TimeoutError and stays to be had") {
    Promise<int> pending;
    Promise<int> running = running_promise<int>();
    for (const Future<int>& future : {pending.get_future(), running.get_future()}) {
        for (const auto timeout : {-1h, 0h}) {
            CHECK_THROWS_AS((void)future.result(timeout), TimeoutError);
            CHECK_THROWS_AS((void)Future<int>(future).result(timeout), TimeoutError);
            CHECK_THROWS_AS((void)future.exception(timeout), TimeoutError);
            CHECK_FALSE(future.wait_for(timeout));
            CHECK_FALSE(future.wait_until(std::chrono::steady_clock::now() + timeout));
            CHECK_FALSE(future.wait_until(std::chrono::system_clock::now() + timeout));
        }
        CHECK_THROWS_AS((void)future.result(1ms), TimeoutError);
        CHECK_THROWS_AS((void)future.exception(1ms), TimeoutError);
        CHECK_FALSE(future.done());
    }
    pending.set_result(1);
    running.set_result(2);
    CHECK(pending.get_future().result(0s) == 1);
    CHECK(running.get_future().result(-1s) == 2);
}

TEST_CASE("a timed wait lasts at least as long as it was told to") {
    Promise<int> never;
    const auto begin = std::chrono::steady_clock::now();
    CHECK_FALSE(never.get_future().wait_for(20ms));
    CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
    const auto when = std::chrono::steady_clock::now() + 20ms;
    CHECK_FALSE(never.get_future().wait_until(when));
    CHECK(std::chrono::steady_clock::now() >= when);
}

TEST_CASE("waits without a practical end, of any unit and clock, end with the task") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    std::vector<std::jthread> threads;
    std::array<bool, 6> told{};
    threads.emplace_back([&] { told[0] = future.wait_for(std::chrono::hours::max()); });
    threads.emplace_back([&] { told[1] = future.wait_for(std::chrono::nanoseconds::max()); });
    threads.emplace_back(
        [&] { told[2] = future.result(std::chrono::duration<double>(1e300)) == 3; });
    threads.emplace_back(
        [&] { told[3] = future.wait_until(std::chrono::steady_clock::time_point::max()); });
    threads.emplace_back(
        [&] { told[4] = future.wait_until(std::chrono::system_clock::time_point::max()); });
    threads.emplace_back([&] { told[5] = future.exception(24h * 365) == nullptr; });
    promise.set_result(3);
    threads.clear();
    for (const bool good : told) CHECK(good);
}

TEST_CASE("wait, wait_for and wait_until never throw for the task's own error") {
    for (const Future<int>& future : {failed<int>(std::runtime_error("no")), cancelled<int>()}) {
        future.wait();
        CHECK(future.wait_for(0s));
        CHECK(future.wait_for(-1s));
        CHECK(future.wait_until(std::chrono::steady_clock::time_point::min()));
    }
}

TEST_CASE("a Future<void> has an outcome and no value, so that it can be asked for again") {
    const Future<void> future = ready();
    future.result();
    future.result(0s);
    ready().result();
    CHECK_NOTHROW(future.result());
    CHECK_THROWS_AS(failed<void>(std::runtime_error("no")).result(), std::runtime_error);
    CHECK_THROWS_AS(cancelled<void>().result(), CancelledError);
}

TEST_CASE(
    "a value that cannot be copied is looked at through a named future and moved from an rvalue") {
    Future<std::unique_ptr<int>> future = ready(std::make_unique<int>(5));
    CHECK(*future.result() == 5);
    const std::unique_ptr<int> mine = std::move(future).result();
    CHECK(*mine == 5);
}

TEST_CASE("a value needs no default constructor and keeps its alignment") {
    struct alignas(16) Wide {
        explicit Wide(int given) : value{given} {}
        int value;
    };
    Promise<Wide> promise;
    promise.set_result(Wide(9));
    const Future<Wide> future = promise.get_future();
    CHECK(future.result().value == 9);
    CHECK(reinterpret_cast<std::uintptr_t>(&future.result()) % 16 == 0);
}

TEST_CASE("handles of one task are equal and hash alike, so that they serve as keys") {
    Promise<int> one;
    Promise<int> two;
    const Future<int> first = one.get_future();
    CHECK(first == one.get_future());
    CHECK(first != two.get_future());
    CHECK(first != Future<int>());
    CHECK(std::hash<Future<int>>{}(first) == std::hash<Future<int>>{}(one.get_future()));
    CHECK(AnyFuture(first) == first);
    CHECK(std::hash<AnyFuture>{}(first) == std::hash<Future<int>>{}(first));

    std::unordered_map<Future<int>, std::string> urls{{first, "a"}, {two.get_future(), "b"}};
    CHECK(urls.at(one.get_future()) == "a");
    CHECK(urls.at(two.get_future()) == "b");
    one.set_result(1);
    two.get_future().cancel();
    CHECK(urls.at(one.get_future()) == "a");
    CHECK(urls.at(two.get_future()) == "b");
    const std::unordered_set<AnyFuture> any{first, one.get_future(), two.get_future()};
    CHECK(any.size() == 2);
}

TEST_CASE("futures of different types are asked and cancelled as AnyFuture") {
    Promise<int> number;
    Promise<std::string> text;
    Promise<void> nothing;
    Promise<std::unique_ptr<int>> owner;
    const std::vector<AnyFuture> all{number.get_future(), text.get_future(), nothing.get_future(),
                                     owner.get_future()};
    number.set_result(1);
    text.set_exception(std::make_exception_ptr(std::runtime_error("no")));
    CHECK(all[2].cancel());
    CHECK(owner.set_running_or_notify_cancel());
    CHECK(all[0].exception() == nullptr);
    CHECK_THROWS_AS(std::rethrow_exception(all[1].exception()), std::runtime_error);
    CHECK(all[2].cancelled());
    CHECK(all[3].running());
    CHECK_FALSE(all[3].wait_for(0s));
    CHECK_THROWS_AS((void)all[3].exception(0s), TimeoutError);
    all[1].wait();
}

TEST_CASE("a value and an exception live as long as the last handle and no longer") {
    auto value = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = value;
    Future<std::shared_ptr<int>> future = ready(std::move(value));
    Future<std::shared_ptr<int>> copy = future;
    future = {};
    CHECK_FALSE(watched.expired());
    copy = {};
    CHECK(watched.expired());

    auto thrown = std::make_shared<int>(2);
    const std::weak_ptr<int> watched_error = thrown;
    Future<int> bad = failed<int>(std::move(thrown));
    CHECK_FALSE(watched_error.expired());
    bad = {};
    CHECK(watched_error.expired());
}

TEST_CASE("a value that was moved out is destroyed once, with the state") {
    auto value = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = value;
    Future<std::shared_ptr<int>> future = ready(std::move(value));
    Future<std::shared_ptr<int>> copy = future;
    std::shared_ptr<int> mine = std::move(future).result();
    CHECK(mine.use_count() == 1);
    mine.reset();
    CHECK(watched.expired());
    copy = {};
}

TEST_CASE("dropping the future of a running task does not wait for it") {
    muster::ThreadPoolExecutor pool(1);
    Promise<void> begun;
    Promise<void> gate;  // After the pool: leaving early breaks it, so nothing hangs.
    bool finished = false;
    {
        const auto task = pool.submit([&begun, opened = gate.get_future(), &finished] {
            begun.set_result();
            opened.wait();
            finished = true;
        });
        begun.get_future().wait();
    }
    gate.set_result();  // Reached although the task cannot have ended.
    pool.wait_idle();
    CHECK(finished);
}

}  // namespace future_test
