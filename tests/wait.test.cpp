// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <list>
#include <memory>
#include <muster/inline_executor.hpp>
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/wait.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace wait_test {

using muster::AnyFuture;
using muster::Future;
using muster::Promise;
using muster::ReturnWhen;
using muster::wait;
using muster::test::cancelled;
using muster::test::failed;
using muster::test::ready;
using muster::test::running_promise;
using namespace std::chrono_literals;

namespace {

using Futures = std::vector<Future<int>>;

Future<int> bad() { return failed<int>(std::runtime_error("no")); }

}  // namespace

TEST_CASE("wait returns when all are done, and gives them in the order given") {
    Promise<int> slow;
    const Futures futures{slow.get_future(), ready(1), bad(), cancelled<int>()};
    std::jthread completer([&] { slow.set_result(2); });
    const auto [done, not_done] = wait(futures);
    CHECK(done == futures);
    CHECK(not_done.empty());
}

TEST_CASE("wait for the first returns at once with all that are done already") {
    Promise<int> pending;
    Promise<int> running = running_promise<int>();
    const Futures futures{pending.get_future(), ready(1), running.get_future(), cancelled<int>(),
                          bad()};
    const auto [done, not_done] = wait(futures, ReturnWhen::first_completed);
    CHECK(done == Futures{futures[1], futures[3], futures[4]});
    CHECK(not_done == Futures{futures[0], futures[2]});
}

TEST_CASE("wait for the first returns when one gets done: by a value, an error or a cancellation") {
    Promise<int> never;
    Promise<int> soon;
    const Futures futures{never.get_future(), soon.get_future()};
    std::jthread completer;
    SUBCASE("value") {
        completer = std::jthread([&] { soon.set_result(1); });
    }
    SUBCASE("error") {
        completer = std::jthread([&] { soon.set_exception(std::make_exception_ptr(1)); });
    }
    SUBCASE("cancellation") {
        completer = std::jthread([&] { soon.get_future().cancel(); });
    }
    SUBCASE("broken promise") {
        completer = std::jthread([&] { soon = Promise<int>(); });
    }
    const auto [done, not_done] = wait(futures, ReturnWhen::first_completed);
    CHECK(done == Futures{futures[1]});
    CHECK(not_done == Futures{futures[0]});
}

TEST_CASE("wait for the first exception passes over values and cancellations") {
    Promise<int> never;
    Promise<int> good;
    Promise<int> dropped;
    Promise<int> failing;
    const Futures futures{never.get_future(), good.get_future(), dropped.get_future(),
                          failing.get_future()};
    std::jthread completer([&] {
        good.set_result(1);
        dropped.get_future().cancel();
        failing.set_exception(std::make_exception_ptr(std::runtime_error("no")));
    });
    const auto [done, not_done] = wait(futures, ReturnWhen::first_exception);
    CHECK(done == Futures{futures[1], futures[2], futures[3]});
    CHECK(not_done == Futures{futures[0]});
}

TEST_CASE("wait for the first exception goes on where only values and cancellations are there") {
    Promise<int> never;
    const Futures futures{cancelled<int>(), ready(1), never.get_future()};
    const auto [done, not_done] = wait(futures, ReturnWhen::first_exception, 1ms);
    CHECK(done == Futures{futures[0], futures[1]});
    CHECK(not_done == Futures{futures[2]});
}

TEST_CASE("wait for the first exception returns at once when one has failed, or all are done") {
    Promise<int> never;
    const Futures some{never.get_future(), bad()};
    const auto found = wait(some, ReturnWhen::first_exception);
    CHECK(found.done == Futures{some[1]});
    CHECK(found.not_done == Futures{some[0]});
    const Futures all{ready(1), cancelled<int>(), ready(2)};
    CHECK(wait(all, ReturnWhen::first_exception).done == all);
}

TEST_CASE("wait with a time limit returns what is done by then, and throws nothing") {
    Promise<int> never;
    const Futures futures{never.get_future(), ready(1), bad(), cancelled<int>()};
    for (const auto timeout : {std::chrono::milliseconds(-1000), 0ms, 1ms}) {
        const auto all = wait(futures, timeout);
        CHECK(all.done == Futures{futures[1], futures[2], futures[3]});
        CHECK(all.not_done == Futures{futures[0]});
        const auto first = wait(Futures{futures[0]}, ReturnWhen::first_completed, timeout);
        CHECK(first.done.empty());
        CHECK(first.not_done == Futures{futures[0]});
    }
    const auto begin = std::chrono::steady_clock::now();
    (void)wait(futures, 20ms);
    CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
}

TEST_CASE("wait without a practical limit ends with the tasks") {
    Promise<int> promise;
    std::jthread completer([&] { promise.set_result(1); });
    CHECK(wait(Futures{promise.get_future()}, std::chrono::hours::max()).done.size() == 1);
    CHECK(wait(Futures{promise.get_future()}, std::chrono::nanoseconds::max()).done.size() == 1);
}

TEST_CASE("wait gives each future once, however often it was given") {
    Promise<int> never;
    const Future<int> one = ready(1);
    const Future<int> two = never.get_future();
    const auto [done, not_done] = wait(Futures{two, one, one, two, one}, 0ms);
    CHECK(done == Futures{one});
    CHECK(not_done == Futures{two});
    CHECK(wait(Futures{one, one}).done == Futures{one});
}

TEST_CASE("wait for nothing returns at once") {
    for (const auto when :
         {ReturnWhen::first_completed, ReturnWhen::first_exception, ReturnWhen::all_completed}) {
        const auto [done, not_done] = wait(Futures{}, when);
        CHECK(done.empty());
        CHECK(not_done.empty());
    }
}

TEST_CASE("wait refuses an empty future") {
    CHECK_THROWS_AS(wait(Futures{ready(1), Future<int>()}), muster::InvalidStateError);
    CHECK_THROWS_AS(wait(std::vector<AnyFuture>(1), 0ms), muster::InvalidStateError);
}

TEST_CASE("wait takes any range of futures, of one type or of several") {
    const Future<int> one = ready(1);
    const std::array array{one, ready(2)};
    CHECK(wait(array).done.size() == 2);
    CHECK(wait(std::span(array)).done.front() == one);
    CHECK(wait(std::list{one}).done.front() == one);
    const Future<int> plain[]{one};
    CHECK(wait(plain).done.front() == one);

    const std::vector<AnyFuture> any{one, ready(std::string("text")), ready(),
                                     ready(std::make_unique<int>(1))};
    const auto found = wait(any);
    static_assert(std::is_same_v<decltype(found.done), std::vector<AnyFuture>>);
    CHECK(found.done == any);
}

TEST_CASE("wait takes the futures of several executors, promises and links together") {
    muster::ThreadPoolExecutor one(1);
    muster::ThreadPoolExecutor two(2);
    muster::InlineExecutor here;
    Promise<int> promise;
    Futures futures{one.submit([] { return 1; }), two.submit([] { return 2; }),
                    here.submit([] { return 3; }), promise.get_future()};
    futures.push_back(futures[0].then([](int x) { return x; }));
    std::jthread completer([&] { promise.set_result(4); });
    CHECK(wait(futures).not_done.empty());
    int sum = 0;
    for (const Future<int>& future : futures) sum += future.result(0s);
    CHECK(sum == 11);
}

TEST_CASE("wait leaves nothing behind in a future that is not done") {
    auto promise = std::make_unique<Promise<int>>();
    const Future<int> future = promise->get_future();
    for (int i = 0; i < 3; ++i) {
        (void)wait(Futures{future, ready(1), future}, 0ms);
        (void)wait(Futures{ready(1), future}, ReturnWhen::first_completed);
    }
    promise.reset();
    CHECK(future.done());
}

}  // namespace wait_test
