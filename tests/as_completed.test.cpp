// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <chrono>
#include <iterator>
#include <memory>
#include <muster/promise.hpp>
#include <muster/wait.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace as_completed_test {

using muster::AnyFuture;
using muster::as_completed;
using muster::Future;
using muster::Promise;
using muster::TimeoutError;
using muster::test::cancelled;
using muster::test::failed;
using muster::test::ready;
using namespace std::chrono_literals;

namespace {

using Futures = std::vector<Future<int>>;
using Range = decltype(as_completed(std::declval<Futures&>()));
static_assert(std::ranges::input_range<Range>);
static_assert(!std::ranges::forward_range<Range>);
static_assert(std::movable<Range>);

template <typename Completed>
auto collect(Completed&& range) {
    std::vector<std::ranges::range_value_t<Completed>> seen;
    for (const auto& future : range) seen.push_back(future);
    return seen;
}

}  // namespace

TEST_CASE("as_completed gives those done already first, in the order given") {
    const Futures futures{ready(1), cancelled<int>(), failed<int>(std::runtime_error("no")),
                          ready(2)};
    CHECK(collect(as_completed(futures)) == futures);
}

TEST_CASE("as_completed gives the futures in the order in which they get done") {
    std::vector<Promise<int>> promises(4);
    Futures futures;
    for (const Promise<int>& promise : promises) futures.push_back(promise.get_future());
    promises[2].set_result(2);
    auto range = as_completed(futures);
    promises[3].set_result(3);
    auto here = range.begin();
    CHECK(*here == futures[2]);
    futures[0].cancel();
    promises[1].set_exception(std::make_exception_ptr(1));
    ++here;
    CHECK(*here == futures[3]);
    CHECK(here->result() == 3);
    here++;
    CHECK(*here == futures[0]);
    ++here;
    CHECK(*here == futures[1]);
    CHECK(here != range.end());
    ++here;
    CHECK(here == range.end());
}

TEST_CASE("as_completed waits for what is not done yet") {
    std::vector<Promise<int>> promises(10);
    Futures futures;
    for (const Promise<int>& promise : promises) futures.push_back(promise.get_future());
    auto range = as_completed(futures);
    std::jthread completer([&] {
        for (std::size_t i = promises.size(); i-- > 0;) promises[i].set_result(static_cast<int>(i));
    });
    std::vector<int> order;
    for (const Future<int>& future : range) order.push_back(future.result(0s));
    CHECK(order == std::vector<int>{9, 8, 7, 6, 5, 4, 3, 2, 1, 0});
}

TEST_CASE("as_completed gives each future once, however often it was given") {
    const Future<int> one = ready(1);
    const Future<int> two = ready(2);
    CHECK(collect(as_completed(Futures{one, two, one, two, one})) == Futures{one, two});
}

TEST_CASE("as_completed of nothing is an empty range") {
    CHECK(collect(as_completed(Futures{})).empty());
    CHECK(collect(as_completed(Futures{}, 0s)).empty());
}

TEST_CASE("as_completed refuses an empty future") {
    CHECK_THROWS_AS((void)as_completed(Futures{Future<int>()}), muster::InvalidStateError);
}

TEST_CASE("as_completed takes futures of different types as AnyFuture") {
    const std::vector<AnyFuture> any{ready(1), ready(std::string("text")), ready()};
    CHECK(collect(as_completed(any)) == any);
    CHECK(collect(as_completed(any, 0s)) == any);
}

TEST_CASE("with a time limit as_completed gives what is done, then throws TimeoutError") {
    Promise<int> never;
    const Futures futures{never.get_future(), ready(1), ready(2)};
    for (const auto timeout : {-10ms, 0ms, 10ms}) {
        Futures seen;
        bool timed_out = false;
        auto range = as_completed(futures, timeout);
        try {
            for (const Future<int>& future : range) seen.push_back(future);
        } catch (const TimeoutError&) {
            timed_out = true;
        }
        CHECK(timed_out);
        CHECK(seen == Futures{futures[1], futures[2]});
        CHECK(range.begin() == range.end());
    }
}

TEST_CASE("the TimeoutError says how many futures are unfinished") {
    Promise<int> one;
    Promise<int> two;
    const Futures futures{ready(1), one.get_future(), two.get_future(), ready(2)};
    std::string message;
    try {
        for ([[maybe_unused]] const Future<int>& future : as_completed(futures, 0s)) {
        }
    } catch (const TimeoutError& error) {
        message = error.what();
    }
    CHECK(message.find("2 (of 4) futures unfinished") != std::string::npos);
}

TEST_CASE("the time limit counts from the call, not from the first look") {
    Promise<int> never;
    const auto begin = std::chrono::steady_clock::now();
    auto range = as_completed(Futures{never.get_future()}, 2s);
    std::this_thread::sleep_until(begin + 2s);
    const auto looked = std::chrono::steady_clock::now();
    CHECK_THROWS_AS((void)range.begin(), TimeoutError);
    CHECK(std::chrono::steady_clock::now() - looked < 2s);
}

TEST_CASE("a limit without a practical end is none") {
    const Futures futures{ready(1)};
    CHECK(collect(as_completed(futures, std::chrono::hours::max())) == futures);
}

TEST_CASE("as_completed keeps no result alive that was gone through") {
    std::vector<std::weak_ptr<int>> watched;
    std::vector<Future<std::shared_ptr<int>>> futures;
    for (int i = 0; i < 3; ++i) {
        auto value = std::make_shared<int>(i);
        watched.push_back(value);
        futures.push_back(ready(std::move(value)));
    }
    auto range = as_completed(futures, 0s);
    futures.clear();
    auto here = range.begin();
    for (std::size_t i = 0; i < watched.size(); ++i, ++here) {
        CHECK_FALSE(watched[i].expired());
        if (i > 0) CHECK(watched[i - 1].expired());
    }
    CHECK(here == range.end());
    CHECK(watched.back().expired());
}

TEST_CASE("as_completed keeps no result alive while it waits for the next") {
    auto value = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = value;
    Promise<std::shared_ptr<int>> next;
    bool gone = false;
    {
        auto range = as_completed(std::vector{ready(std::move(value)), next.get_future()}, 1ms);
        auto here = range.begin();
        CHECK_FALSE(watched.expired());
        CHECK_THROWS_AS(++here, TimeoutError);
        gone = watched.expired();
    }
    CHECK(gone);
}

TEST_CASE("a range may be left early, moved and never begun") {
    Promise<int> never;
    Promise<int> later;
    {
        for (const Future<int>& future : as_completed(Futures{ready(1), never.get_future()})) {
            CHECK(future.result() == 1);
            break;
        }
        [[maybe_unused]] const auto never_begun = as_completed(Futures{later.get_future()});
        auto range = as_completed(Futures{later.get_future(), ready(2)});
        auto moved = std::move(range);
        CHECK(moved.begin()->result() == 2);
        later.set_result(3);
        CHECK(collect(std::move(moved)).size() == 2);
    }
    never.set_result(1);
}

TEST_CASE("going through the range again goes on where it was left") {
    const Futures futures{ready(1), ready(2), ready(3)};
    auto range = as_completed(futures);
    int first = 0;
    for (const Future<int>& future : range) {
        first = future.result();
        break;
    }
    CHECK(first == 1);
    CHECK(collect(range) == futures);  // The first once more: it was not left behind by ++.
}

}  // namespace as_completed_test
