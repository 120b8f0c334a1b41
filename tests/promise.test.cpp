// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <memory>
#include <muster/promise.hpp>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <type_traits>
#include <utility>

namespace promise_test {

using muster::BrokenPromise;
using muster::CancelledError;
using muster::Future;
using muster::InvalidStateError;
using muster::Promise;
using muster::test::running_promise;
using namespace std::chrono_literals;

static_assert(!std::is_copy_constructible_v<Promise<int>>);
static_assert(!std::is_copy_assignable_v<Promise<int>>);
static_assert(std::is_nothrow_move_constructible_v<Promise<int>>);
static_assert(std::is_nothrow_move_assignable_v<Promise<int>>);

namespace {

std::exception_ptr an_error() { return std::make_exception_ptr(std::out_of_range("far")); }

}  // namespace

TEST_CASE("a promise gives its futures the result") {
    Promise<std::string> promise;
    const Future<std::string> before = promise.get_future();
    CHECK(before.valid());
    CHECK_FALSE(before.done());
    promise.set_result("text");
    CHECK(before.result() == "text");
    CHECK(promise.get_future() == before);
    CHECK(promise.get_future().result() == "text");
}

TEST_CASE("a promise gives its futures the exception") {
    Promise<int> promise;
    promise.set_exception(an_error());
    CHECK_THROWS_WITH_AS((void)promise.get_future().result(), "far", std::out_of_range);
}

TEST_CASE("a second outcome is refused with what to do instead") {
    Promise<int> promise;
    promise.set_result(1);
    CHECK_THROWS_WITH_AS(promise.set_result(2),
                         "muster: set_result() on a promise that has an outcome already or was "
                         "cancelled; set it once, and first ask "
                         "set_running_or_notify_cancel() whether anybody waits for it",
                         muster::InvalidStateError);
}

TEST_CASE("set_exception refuses a null pointer and leaves the promise as it was") {
    Promise<int> promise;
    CHECK_THROWS_AS(promise.set_exception(nullptr), std::invalid_argument);
    CHECK_FALSE(promise.get_future().done());
    promise.set_result(1);
    CHECK(promise.get_future().result() == 1);
    CHECK_THROWS_AS(promise.set_exception(nullptr), std::invalid_argument);
}

TEST_CASE("a second outcome is an InvalidStateError, and the first one stays") {
    Promise<int> promise;
    SUBCASE("after a result") {
        promise.set_result(1);
        CHECK_THROWS_AS(promise.set_result(2), InvalidStateError);
        CHECK_THROWS_AS(promise.set_exception(an_error()), InvalidStateError);
        CHECK(promise.get_future().result() == 1);
    }
    SUBCASE("after an exception") {
        promise.set_exception(an_error());
        CHECK_THROWS_AS(promise.set_exception(std::make_exception_ptr(1)), InvalidStateError);
        CHECK_THROWS_AS(promise.set_result(2), InvalidStateError);
        CHECK_THROWS_AS((void)promise.get_future().result(), std::out_of_range);
    }
    SUBCASE("after a cancellation") {
        promise.get_future().cancel();
        CHECK_THROWS_AS(promise.set_result(2), InvalidStateError);
        CHECK_THROWS_AS(promise.set_exception(an_error()), InvalidStateError);
        CHECK(promise.get_future().cancelled());
    }
    SUBCASE("after the result was taken") {
        promise.set_result(1);
        CHECK(promise.get_future().result() == 1);
        CHECK_THROWS_AS(promise.set_result(2), InvalidStateError);
        CHECK_THROWS_AS((void)promise.get_future().result(), InvalidStateError);
    }
}

TEST_CASE("the same holds for a Promise<void>") {
    Promise<void> promise;
    promise.set_result();
    CHECK_NOTHROW(promise.get_future().result());
    CHECK_THROWS_AS(promise.set_result(), InvalidStateError);
    CHECK_THROWS_AS(promise.set_exception(an_error()), InvalidStateError);
}

TEST_CASE(
    "set_running_or_notify_cancel makes a pending task run, after which it is not cancelled") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    CHECK(promise.set_running_or_notify_cancel());
    CHECK(future.running());
    CHECK_FALSE(future.cancel());
    CHECK_FALSE(future.done());
    promise.set_result(1);
    CHECK_FALSE(future.running());
    CHECK(future.result() == 1);
}

TEST_CASE("set_running_or_notify_cancel is false when the task was cancelled") {
    Promise<int> promise;
    promise.get_future().cancel();
    CHECK_FALSE(promise.set_running_or_notify_cancel());
    CHECK_FALSE(promise.set_running_or_notify_cancel());
    CHECK(promise.get_future().cancelled());
}

TEST_CASE("set_running_or_notify_cancel throws when the task runs or is done") {
    Promise<int> running = running_promise<int>();
    CHECK_THROWS_AS(running.set_running_or_notify_cancel(), InvalidStateError);
    CHECK(running.get_future().running());
    running.set_exception(an_error());
    CHECK_THROWS_AS(running.set_running_or_notify_cancel(), InvalidStateError);
    Promise<int> done;
    done.set_result(1);
    CHECK_THROWS_AS(done.set_running_or_notify_cancel(), InvalidStateError);
}

TEST_CASE("a promise that goes without an outcome gives BrokenPromise") {
    Future<int> pending;
    Future<int> running;
    Future<int> replaced;
    {
        const Promise<int> dropped;
        pending = dropped.get_future();
        const Promise<int> begun = running_promise<int>();
        running = begun.get_future();
        Promise<int> assigned;
        replaced = assigned.get_future();
        assigned = Promise<int>();
        CHECK(replaced.done());
        CHECK_FALSE(pending.done());
    }
    CHECK_THROWS_AS((void)pending.result(), BrokenPromise);
    CHECK_THROWS_AS((void)running.result(), BrokenPromise);
    CHECK_THROWS_AS((void)replaced.result(), BrokenPromise);
    CHECK_THROWS_AS(std::rethrow_exception(pending.exception()), BrokenPromise);
    CHECK_FALSE(pending.cancelled());
    CHECK_FALSE(pending.cancel());
}

TEST_CASE("a promise that goes after its outcome changes nothing") {
    Future<int> good;
    Future<int> dropped;
    {
        Promise<int> one;
        Promise<int> two;
        good = one.get_future();
        dropped = two.get_future();
        one.set_result(1);
        dropped.cancel();
    }
    CHECK(good.result() == 1);
    CHECK_THROWS_AS((void)dropped.result(), CancelledError);
}

TEST_CASE("a moved promise keeps its futures, and what is left of it throws InvalidStateError") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    Promise<int> moved = std::move(promise);
    CHECK_FALSE(future.done());
    // NOLINTBEGIN(bugprone-use-after-move): that is the promise.
    CHECK_THROWS_AS((void)promise.get_future(), InvalidStateError);
    CHECK_THROWS_AS(promise.set_result(1), InvalidStateError);
    CHECK_THROWS_AS(promise.set_exception(an_error()), InvalidStateError);
    CHECK_THROWS_AS(promise.set_running_or_notify_cancel(), InvalidStateError);
    // NOLINTEND(bugprone-use-after-move)
    Promise<int>& alias = moved;
    moved = std::move(alias);
    CHECK_FALSE(future.done());
    moved.set_result(2);
    CHECK(future.result() == 2);
    promise = Promise<int>();
    promise.set_result(3);
    CHECK(promise.get_future().result() == 3);
}

TEST_CASE("results may be move-only, and a copy of a named value is kept") {
    Promise<std::unique_ptr<int>> owner;
    owner.set_result(std::make_unique<int>(1));
    CHECK(*owner.get_future().result() == 1);
    Promise<std::string> text;
    const std::string mine = "mine";
    text.set_result(mine);
    CHECK(mine == "mine");
    CHECK(text.get_future().result() == "mine");
}

TEST_CASE("what moving the result in throws is the outcome") {
    struct Immovable {
        Immovable() = default;
        Immovable(const Immovable& /*other*/) {}
        Immovable(Immovable&& /*other*/) { throw std::length_error("move"); }
    };
    Promise<Immovable> promise;
    const Immovable value;
    CHECK_NOTHROW(promise.set_result(value));
    CHECK_THROWS_WITH_AS((void)promise.get_future().result(), "move", std::length_error);
}

TEST_CASE("a value refused by set_result is destroyed, and the promise holds no other") {
    Promise<std::shared_ptr<int>> promise;
    promise.set_result(nullptr);
    auto value = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = value;
    CHECK_THROWS_AS(promise.set_result(std::move(value)), InvalidStateError);
    CHECK(watched.expired());
}

}  // namespace promise_test
