// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <muster/promise.hpp>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace future_then_test {

using muster::CancelledError;
using muster::Future;
using muster::InvalidStateError;
using muster::Promise;
using muster::test::cancelled;
using muster::test::failed;
using muster::test::ready;
using namespace std::chrono_literals;

TEST_CASE("then gives the future of what the function makes of the value") {
    Promise<int> promise;
    const Future<std::string> text =
        promise.get_future().then([](int x) { return std::to_string(x); });
    const Future<std::size_t> size = text.then(&std::string::size);
    CHECK_FALSE(text.done());
    promise.set_result(1234);
    CHECK(text.result(0s) == "1234");
    CHECK(size.result(0s) == 4);
}

TEST_CASE("then on a future that is done runs at once, in this thread") {
    std::thread::id where;
    const Future<int> future = ready(1).then([&](int x) {
        where = std::this_thread::get_id();
        return x + 1;
    });
    CHECK(where == std::this_thread::get_id());
    CHECK(future.result(0s) == 2);
}

TEST_CASE("then runs in the thread that completes the task") {
    Promise<int> promise;
    std::thread::id ran_in;
    std::thread::id completer;
    const Future<void> future =
        promise.get_future().then([&](int) { ran_in = std::this_thread::get_id(); });
    std::thread([&] {
        completer = std::this_thread::get_id();
        promise.set_result(1);
    }).join();
    CHECK(future.done());
    CHECK(ran_in == completer);
}

TEST_CASE("from a named future the function sees the value itself, which stays") {
    const Future<std::string> future = ready(std::string("kept"));
    const std::string* seen = nullptr;
    const Future<void> one = future.then([&](const std::string& value) { seen = &value; });
    const Future<int> two = future.then([](auto& value) {
        static_assert(std::is_same_v<decltype(value), const std::string&>);
        return 2;
    });
    CHECK(one.done());
    CHECK(two.result() == 2);
    CHECK(seen == &future.result());
}

TEST_CASE("from an rvalue future the function is given the value, which is then taken") {
    Future<std::unique_ptr<int>> future = ready(std::make_unique<int>(5));
    const Future<std::unique_ptr<int>> copy = future;
    const Future<int> chained = std::move(future).then([](auto&& value) {
        static_assert(std::is_same_v<decltype(value), std::unique_ptr<int>&&>);
        const std::unique_ptr<int> mine = std::move(value);
        return *mine;
    });
    CHECK(chained.result() == 5);
    CHECK_THROWS_AS((void)copy.result(), InvalidStateError);
    const Future<int> late = copy.then([](const std::unique_ptr<int>&) { return 1; });
    CHECK_THROWS_AS((void)late.result(), InvalidStateError);
    CHECK_THROWS_AS((void)Future<std::unique_ptr<int>>(copy)
                        .then([](std::unique_ptr<int>) { return 1; })
                        .result(),
                    InvalidStateError);
}

TEST_CASE("then works from nothing to something and from something to nothing") {
    Promise<void> promise;
    int calls = 0;
    const Future<int> made = promise.get_future().then([] { return 7; });
    const Future<void> used = made.then([&](int) { ++calls; });
    const Future<void> after = used.then([&] { ++calls; });
    promise.set_result();
    after.result();
    CHECK(made.result() == 7);
    CHECK(calls == 2);
}

TEST_CASE("then keeps a decayed copy of what the function returns") {
    static int global = 3;
    const auto reference = ready(1).then([](int) -> int& { return global; });
    static_assert(std::is_same_v<decltype(reference), const Future<int>>);
    const auto text = ready(1).then([](int) -> const std::string {  // NOLINT: that is the case.
        return "text";
    });
    static_assert(std::is_same_v<decltype(text), const Future<std::string>>);
    global = 4;
    CHECK(reference.result() == 3);
    CHECK(text.result() == "text");
}

TEST_CASE("an error passes the functions by and arrives with its own type") {
    Promise<int> promise;
    int calls = 0;
    const Future<int> end = promise.get_future()
                                .then([&](int x) { return ++calls, x; })
                                .then([&](int x) { return ++calls, ready(x); })
                                .then([&](int x) { return ++calls, x; });
    promise.set_exception(std::make_exception_ptr(std::out_of_range("far")));
    CHECK_THROWS_WITH_AS((void)end.result(0s), "far", std::out_of_range);
    CHECK_FALSE(end.cancelled());
    CHECK(calls == 0);
}

TEST_CASE("cancellation passes the functions by and arrives as cancellation") {
    Promise<int> promise;
    int calls = 0;
    const Future<int> end = promise.get_future()
                                .then([&](int x) { return ++calls, x; })
                                .then([&](int x) { return ++calls, ready(x); })
                                .then([&](int x) { return ++calls, x; });
    CHECK(promise.get_future().cancel());
    CHECK(end.cancelled());
    CHECK(end.done());
    CHECK_THROWS_AS((void)end.result(), CancelledError);
    CHECK(calls == 0);
}

TEST_CASE("what the function throws is the outcome, CancelledError included") {
    const Future<int> bad = ready(1).then([](int) -> int { throw std::domain_error("no"); });
    CHECK_THROWS_WITH_AS((void)bad.result(), "no", std::domain_error);
    const Future<int> thrown = ready(1).then([](int) -> int { throw CancelledError(); });
    CHECK_FALSE(thrown.cancelled());
    CHECK_THROWS_AS((void)thrown.result(), CancelledError);
    const Future<int> inner =
        ready(1).then([](int) -> Future<int> { throw std::domain_error("no"); });
    CHECK_THROWS_AS((void)inner.result(), std::domain_error);
}

TEST_CASE("a future that the function returns is waited for, to any depth") {
    Promise<int> inner;
    const auto flat = ready(1).then([&](int) { return inner.get_future(); });
    static_assert(std::is_same_v<decltype(flat), const Future<int>>);
    CHECK_FALSE(flat.done());
    CHECK(flat.running());
    inner.set_result(9);
    CHECK(flat.result(0s) == 9);
    CHECK(inner.get_future().result() == 9);

    Promise<Future<Future<int>>> outermost;
    Promise<Future<int>> middle;
    Promise<int> innermost;
    const auto deep = ready().then([&] { return outermost.get_future(); });
    static_assert(std::is_same_v<decltype(deep), const Future<int>>);
    outermost.set_result(middle.get_future());
    CHECK_FALSE(deep.done());
    middle.set_result(innermost.get_future());
    CHECK_FALSE(deep.done());
    innermost.set_result(10);
    CHECK(deep.result(0s) == 10);

    const Future<int> all_there = ready().then([] { return ready(ready(ready(11))); });
    CHECK(all_there.result(0s) == 11);
}

TEST_CASE("a returned future may be of nothing, or of what cannot be copied") {
    Promise<void> nothing;
    const Future<void> flat = ready(1).then([&](int) { return nothing.get_future(); });
    nothing.set_result();
    CHECK_NOTHROW(flat.result(0s));
    Future<std::unique_ptr<int>> owner =
        ready(1).then([](int x) { return ready(std::make_unique<int>(x)); });
    CHECK(*std::move(owner).result(0s) == 1);
}

TEST_CASE("errors and cancellation of a returned future flow through; an empty one is an error") {
    Promise<int> inner;
    const Future<int> bad = ready(1).then([&](int) { return inner.get_future(); });
    inner.set_exception(std::make_exception_ptr(std::out_of_range("far")));
    CHECK_THROWS_AS((void)bad.result(0s), std::out_of_range);
    const Future<int> dropped = ready(1).then([](int) { return cancelled<int>(); });
    CHECK(dropped.cancelled());
    const Future<int> deep =
        ready(1).then([](int) { return ready(failed<int>(std::string("s"))); });
    CHECK_THROWS_AS((void)deep.result(0s), std::string);
    const Future<int> empty = ready(1).then([](int) { return Future<int>(); });
    CHECK_THROWS_AS((void)empty.result(0s), InvalidStateError);
}

TEST_CASE("a function that returns its own future makes an error, not an endless wait") {
    Promise<int> promise;
    Future<int> own;
    own = promise.get_future().then([&](int) { return own; });
    promise.set_result(1);
    CHECK_THROWS_AS((void)own.result(0s), InvalidStateError);
}

TEST_CASE("cancelling a link before its turn spares the task before it and drops the function") {
    Promise<int> promise;
    auto owned = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = owned;
    bool called = false;
    const Future<int> link = promise.get_future().then(
        [&called, owned = std::move(owned)](int x) { return called = true, x; });
    const Future<int> after = link.then([](int x) { return x; });
    CHECK(link.cancel());
    CHECK(link.cancel());
    CHECK(watched.expired());
    CHECK(link.cancelled());
    CHECK(after.cancelled());
    CHECK_FALSE(promise.get_future().done());
    promise.set_result(1);
    CHECK_FALSE(called);
    CHECK(promise.get_future().result() == 1);
    CHECK_THROWS_AS((void)link.result(), CancelledError);
}

TEST_CASE("cancelling a link that waits for a returned future cancels that one, if it can be") {
    Promise<int> pending;
    const Future<int> one = ready(1).then([&](int) { return pending.get_future(); });
    CHECK(one.cancel());
    CHECK(one.cancelled());
    CHECK(one.cancel());
    CHECK(pending.get_future().cancelled());

    Promise<int> running = muster::test::running_promise<int>();
    const Future<int> two = ready(1).then([&](int) { return running.get_future(); });
    CHECK_FALSE(two.cancel());
    running.set_result(2);
    CHECK(two.result(0s) == 2);
}

TEST_CASE("a link that runs or is done cannot be cancelled") {
    Promise<int> promise;
    Future<int> link;
    bool was_cancelled = true;
    bool was_running = false;
    link = promise.get_future().then([&](int x) {
        was_running = link.running();
        was_cancelled = link.cancel();
        return x;
    });
    promise.set_result(1);
    CHECK(was_running);
    CHECK_FALSE(was_cancelled);
    CHECK_FALSE(link.cancel());
    CHECK_FALSE(link.request_stop());
    CHECK(link.result() == 1);
}

TEST_CASE("the function is destroyed before its future is done, however that ends") {
    struct Witness {
        Future<int>* future;
        bool* saw_pending;
        std::unique_ptr<int> alive = std::make_unique<int>(1);
        Witness(Future<int>* given, bool* told) : future{given}, saw_pending{told} {}
        Witness(Witness&&) = default;
        ~Witness() {
            if (alive) *saw_pending = future->valid() && !future->done();
        }
        int operator()(int x) const {
            if (x < 0) throw std::runtime_error("negative");
            return x;
        }
    };
    Future<int> link;
    bool saw_pending = false;
    Promise<int> promise;
    link = promise.get_future().then(Witness(&link, &saw_pending));
    SUBCASE("by a value") { promise.set_result(1); }
    SUBCASE("by an exception of its own") { promise.set_result(-1); }
    SUBCASE("by an error before it") { promise.set_exception(std::make_exception_ptr(1)); }
    SUBCASE("by a cancellation before it") { promise.get_future().cancel(); }
    SUBCASE("by its own cancellation") { link.cancel(); }
    CHECK(link.done());
    CHECK(saw_pending);
}

TEST_CASE("a link lets go of the future before it when it is done") {
    auto value = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = value;
    Promise<std::shared_ptr<int>> promise;
    const Future<int> link =
        promise.get_future().then([](const std::shared_ptr<int>& x) { return *x; });
    promise.set_result(std::move(value));
    promise = {};
    CHECK(watched.expired());
    CHECK(link.result() == 1);
}

}  // namespace future_then_test
