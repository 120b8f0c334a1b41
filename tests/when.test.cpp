// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <list>
#include <memory>
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/when.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace when_test {

using muster::AnyFuture;
using muster::CancelledError;
using muster::Future;
using muster::InvalidStateError;
using muster::Promise;
using muster::when_all;
using muster::when_any;
using muster::test::cancelled;
using muster::test::failed;
using muster::test::ready;
using namespace std::chrono_literals;

namespace {

using Futures = std::vector<Future<int>>;

}  // namespace

TEST_CASE("when_all of a range is the future of all values, in the order given") {
    std::vector<Promise<int>> promises(3);
    Futures futures;
    for (const Promise<int>& promise : promises) futures.push_back(promise.get_future());
    const Future<std::vector<int>> all = when_all(futures);
    promises[2].set_result(2);
    promises[0].set_result(0);
    CHECK_FALSE(all.done());
    promises[1].set_result(1);
    CHECK(all.result(0s) == std::vector<int>{0, 1, 2});
    CHECK(futures[1].result() == 1);
    CHECK(when_all(futures).result(0s) == std::vector<int>{0, 1, 2});
}

TEST_CASE("when_all of a pack is the future of a tuple, with monostate for nothing") {
    Promise<int> number;
    Promise<std::string> text;
    Promise<void> nothing;
    const auto all = when_all(number.get_future(), text.get_future(), nothing.get_future());
    static_assert(
        std::is_same_v<decltype(all), const Future<std::tuple<int, std::string, std::monostate>>>);
    nothing.set_result();
    text.set_result("text");
    CHECK_FALSE(all.done());
    number.set_result(1);
    CHECK(all.result(0s) == std::tuple(1, std::string("text"), std::monostate{}));
    auto [one, two] = when_all(ready(1), ready(2)).result();
    CHECK(one + two == 3);
}

TEST_CASE("when_all of nothing is done") {
    CHECK(when_all(Futures{}).result(0s).empty());
    CHECK(when_all().result(0s) == std::tuple<>{});
    CHECK_NOTHROW(when_all(std::vector<Future<void>>{}).result(0s));
}

TEST_CASE("when_all of futures of nothing is a Future<void>") {
    Promise<void> promise;
    const auto all = when_all(std::vector{ready(), promise.get_future()});
    static_assert(std::is_same_v<decltype(all), const Future<void>>);
    CHECK_FALSE(all.done());
    promise.set_result();
    CHECK_NOTHROW(all.result(0s));
    CHECK_THROWS_AS(when_all(std::vector{ready(), cancelled<void>()}).result(0s), CancelledError);
}

TEST_CASE("the first error or cancellation is that of when_all, at once") {
    Promise<int> never;
    Promise<int> other;
    Promise<int> failing;
    const Futures futures{never.get_future(), other.get_future(), failing.get_future()};
    const auto range = when_all(futures);
    const auto pack = when_all(futures[0], futures[1], futures[2]);
    SUBCASE("error") {
        failing.set_exception(std::make_exception_ptr(std::out_of_range("first")));
        other.set_exception(std::make_exception_ptr(std::domain_error("second")));
        CHECK_THROWS_WITH_AS((void)range.result(0s), "first", std::out_of_range);
        CHECK_THROWS_WITH_AS((void)pack.result(0s), "first", std::out_of_range);
        CHECK_THROWS_AS((void)when_all(futures).result(0s), std::domain_error);
    }
    SUBCASE("cancellation") {
        failing.get_future().cancel();
        other.set_exception(std::make_exception_ptr(std::domain_error("second")));
        CHECK(range.cancelled());
        CHECK(pack.cancelled());
        CHECK_THROWS_AS((void)pack.result(), CancelledError);
    }
    CHECK_FALSE(never.get_future().done());
    never.set_result(1);
}

TEST_CASE("when_all copies the values of futures that are named") {
    Future<std::string> one = ready(std::string("one"));
    const Future<std::string> two = ready(std::string("two"));
    const std::vector<Future<std::string>> futures{one, two};
    CHECK(when_all(futures).result() == std::vector<std::string>{"one", "two"});
    CHECK(when_all(one, two).result() == std::tuple(std::string("one"), std::string("two")));
    CHECK(one.result() == "one");
    CHECK(two.result() == "two");
}

TEST_CASE("when_all copies the values of a view, whose futures are somebody else's") {
    std::vector<Future<std::string>> futures{ready(std::string("one"))};
    CHECK(when_all(std::span(futures)).result() == std::vector<std::string>{"one"});
    CHECK(futures[0].result() == "one");
}

TEST_CASE("when_all moves values out of what is an rvalue, and what cannot be copied") {
    const Future<std::string> kept = ready(std::string("one"));
    CHECK(when_all(std::vector{kept}).result() == std::vector<std::string>{"one"});
    CHECK_THROWS_AS((void)kept.result(), InvalidStateError);

    Future<std::string> first = ready(std::string("one"));
    const Future<std::string> second = ready(std::string("two"));
    const Future<std::string> same = first;
    CHECK(std::get<0>(when_all(std::move(first), second).result()) == "one");
    CHECK_THROWS_AS((void)same.result(), InvalidStateError);
    CHECK(second.result() == "two");

    std::vector<Future<std::unique_ptr<int>>> owners;
    owners.push_back(ready(std::make_unique<int>(1)));
    auto values = when_all(owners).result();
    CHECK(*values.at(0) == 1);
    CHECK_THROWS_AS((void)owners[0].result(), InvalidStateError);
    CHECK_THROWS_AS((void)when_all(owners).result(), InvalidStateError);
}

TEST_CASE("what copying a value throws is the outcome of when_all") {
    struct Uncopyable {
        Uncopyable() = default;
        Uncopyable(Uncopyable&&) = default;
        Uncopyable(const Uncopyable& /*other*/) { throw std::length_error("copy"); }
    };
    const std::vector futures{ready(Uncopyable())};
    CHECK_THROWS_AS((void)when_all(futures).result(0s), std::length_error);
}

TEST_CASE("when_all takes any range and the futures of several executors") {
    muster::ThreadPoolExecutor one(1);
    muster::ThreadPoolExecutor two(1);
    const std::array array{one.submit([] { return 1; }), two.submit([] { return 2; }), ready(3)};
    CHECK(when_all(array).result() == std::vector<int>{1, 2, 3});
    CHECK(when_all(std::list{ready(true)}).result() == std::vector<bool>{true});
    const Future<int> plain[]{ready(1)};
    CHECK(when_all(plain).result() == std::vector<int>{1});
}

TEST_CASE("the same future may be given more than once where values are copied") {
    const Future<int> one = ready(1);
    const Futures twice{one, one};
    CHECK(when_all(twice).result() == std::vector<int>{1, 1});
    CHECK(when_all(one, one).result() == std::tuple(1, 1));
    CHECK(when_any(twice).result().index == 0);
}

TEST_CASE("an empty future is refused by when_all and when_any") {
    CHECK_THROWS_AS((void)when_all(Futures{ready(1), Future<int>()}), InvalidStateError);
    CHECK_THROWS_AS((void)when_all(ready(1), Future<int>()), InvalidStateError);
    CHECK_THROWS_AS((void)when_any(Futures{Future<int>(), ready(1)}), InvalidStateError);
    CHECK_THROWS_AS((void)when_any(ready(1), Future<int>()), InvalidStateError);
}

TEST_CASE("when_any is the first that is done, by a value, an error or a cancellation") {
    Promise<int> never;
    Promise<int> soon;
    const Futures futures{never.get_future(), soon.get_future()};
    const auto any = when_any(futures);
    static_assert(std::is_same_v<decltype(any), const Future<muster::WhenAny<int>>>);
    CHECK_FALSE(any.done());
    SUBCASE("value") { soon.set_result(1); }
    SUBCASE("error") { soon.set_exception(std::make_exception_ptr(1)); }
    SUBCASE("cancellation") { futures[1].cancel(); }
    CHECK(any.result(0s).index == 1);
    CHECK(any.result().future == futures[1]);
    CHECK_FALSE(futures[0].done());
    never.set_result(2);
    CHECK(any.result().index == 1);
    CHECK(futures[0].result() == 2);
}

TEST_CASE("when_any gives the first in the list of those done already") {
    Promise<int> never;
    const auto [index, future] =
        when_any(std::vector{never.get_future(), ready(1), ready(2)}).result(0s);
    CHECK(index == 1);
    CHECK(future.result() == 1);
}

TEST_CASE("when_any of a pack keeps the type if all have it, and is of AnyFuture otherwise") {
    Promise<std::string> text;
    Promise<int> number;
    const auto mixed = when_any(text.get_future(), number.get_future());
    static_assert(std::is_same_v<decltype(mixed), const Future<muster::WhenAny<AnyFuture>>>);
    const auto same = when_any(number.get_future(), number.get_future());
    static_assert(std::is_same_v<decltype(same), const Future<muster::WhenAny<int>>>);
    number.set_result(1);
    CHECK(mixed.result(0s).index == 1);
    CHECK(mixed.result().future == number.get_future());
    CHECK(same.result(0s).index == 0);
    CHECK(same.result().future.result() == 1);
    const auto any = when_any(std::vector<AnyFuture>{text.get_future(), number.get_future()});
    CHECK(any.result(0s).future == number.get_future());
}

TEST_CASE("when_any of no futures is refused") {
    CHECK_THROWS_AS((void)when_any(Futures{}), std::invalid_argument);
    CHECK_THROWS_AS((void)when_any(std::vector<AnyFuture>{}), std::invalid_argument);
}

TEST_CASE("cancelling when_all or when_any leaves the futures themselves alone") {
    Promise<int> promise;
    const Futures futures{promise.get_future()};
    const auto all = when_all(futures);
    const auto any = when_any(futures);
    CHECK(all.cancel());
    CHECK(any.cancel());
    CHECK(all.cancelled());
    CHECK_THROWS_AS((void)any.result(0s), CancelledError);
    CHECK_FALSE(futures[0].done());
    promise.set_result(1);
    CHECK(futures[0].result() == 1);
    CHECK(all.cancelled());
}

TEST_CASE("when_all and when_any go on in then, wait and each other") {
    Promise<int> one;
    Promise<int> two;
    const auto sum =
        when_all(one.get_future(), two.get_future()).then([](const std::tuple<int, int>& both) {
            return std::get<0>(both) + std::get<1>(both);
        });
    const auto nested = when_all(when_any(one.get_future(), two.get_future()), sum);
    two.set_result(2);
    CHECK_FALSE(nested.done());
    one.set_result(1);
    CHECK(sum.result(0s) == 3);
    CHECK(std::get<0>(nested.result(0s)).index == 1);
    CHECK(muster::wait(std::vector<AnyFuture>{sum, nested}).not_done.empty());
}

TEST_CASE("when_all and when_any free everything once the futures are done and gone") {
    auto value = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = value;
    {
        Promise<std::shared_ptr<int>> promise;
        Promise<std::shared_ptr<int>> loser;
        auto all = when_all(promise.get_future());
        auto any = when_any(promise.get_future(), loser.get_future());
        auto dropped = when_all(std::vector{promise.get_future(), loser.get_future()});
        dropped = {};
        promise.set_result(std::move(value));
        CHECK(*std::get<0>(all.result()) == 1);
        CHECK(any.result().index == 0);
    }
    CHECK(watched.expired());
}

}  // namespace when_test
