// SPDX-License-Identifier: MIT
// ctest: concurrency
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <muster/promise.hpp>
#include <muster/when.hpp>
#include <string>
#include <support/futures.hpp>
#include <support/race.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace future_races_test {

using muster::CancelledError;
using muster::Future;
using muster::InvalidStateError;
using muster::Promise;
using muster::test::race;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t rounds = 2000;

template <typename T>
std::vector<Future<T>> futures_of(const std::vector<Promise<T>>& promises) {
    std::vector<Future<T>> futures;
    futures.reserve(promises.size());
    for (const Promise<T>& promise : promises) futures.push_back(promise.get_future());
    return futures;
}

bool sets(Promise<int>& promise, int value) {
    try {
        promise.set_result(value);
        return true;
    } catch (const InvalidStateError&) {
        return false;
    }
}

bool fails(Promise<int>& promise) {
    try {
        promise.set_exception(std::make_exception_ptr(std::string("failed")));
        return true;
    } catch (const InvalidStateError&) {
        return false;
    }
}

/// How many rounds ended otherwise than `right` says.
template <typename Right>
std::size_t wrong(Right right) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < rounds; ++i) count += right(i) ? 0 : 1;
    return count;
}

using Flags = std::vector<std::atomic<int>>;

}  // namespace

TEST_CASE("of set_result, set_exception and cancel at the same time one succeeds, and all see it") {
    std::vector<Promise<int>> promises(rounds);
    const std::vector<Future<int>> futures = futures_of(promises);
    Flags set(rounds), failed(rounds), cancelled(rounds), called(rounds);
    for (std::size_t i = 0; i < rounds; ++i)
        futures[i].add_done_callback([&, i](const Future<int>&) { ++called[i]; });
    race(
        rounds, [&](std::size_t i) { set[i] = sets(promises[i], 1); },
        [&](std::size_t i) { failed[i] = fails(promises[i]); },
        [&](std::size_t i) { cancelled[i] = futures[i].cancel(); });
    CHECK(wrong([&](std::size_t i) { return set[i] + failed[i] + cancelled[i] == 1; }) == 0);
    CHECK(wrong([&](std::size_t i) { return called[i] == 1; }) == 0);
    CHECK(wrong([&](std::size_t i) {
              if (cancelled[i]) return futures[i].cancelled();
              return set[i] == (futures[i].exception(0s) == nullptr);
          }) == 0);
}

TEST_CASE("of set_running_or_notify_cancel and cancel at the same time one succeeds") {
    std::vector<Promise<int>> promises(rounds);
    const std::vector<Future<int>> futures = futures_of(promises);
    Flags runs(rounds), cancelled(rounds);
    race(
        rounds, [&](std::size_t i) { runs[i] = promises[i].set_running_or_notify_cancel(); },
        [&](std::size_t i) { cancelled[i] = futures[i].cancel(); });
    CHECK(wrong([&](std::size_t i) { return runs[i] + cancelled[i] == 1; }) == 0);
    CHECK(wrong([&](std::size_t i) { return futures[i].running() == (runs[i] == 1); }) == 0);
}

TEST_CASE("whoever waits for a result meets it, whenever it comes") {
    std::vector<Promise<std::string>> promises(rounds);
    const std::vector<Future<std::string>> futures = futures_of(promises);
    std::vector<std::string> blocked(rounds), timed(rounds);
    race(
        rounds, [&](std::size_t i) { promises[i].set_result(std::to_string(i)); },
        [&](std::size_t i) { blocked[i] = futures[i].result(); },
        [&](std::size_t i) { timed[i] = futures[i].result(1h); });
    CHECK(wrong([&](std::size_t i) { return blocked[i] == std::to_string(i); }) == 0);
    CHECK(timed == blocked);
}

TEST_CASE("whoever waits is released by an exception, a cancellation and a broken promise") {
    std::vector<Promise<int>> promises(rounds);
    const std::vector<Future<int>> futures = futures_of(promises);
    Flags good(rounds);
    race(
        rounds,
        [&](std::size_t i) {
            if (i % 3 == 0) fails(promises[i]);
            if (i % 3 == 1) futures[i].cancel();
            if (i % 3 == 2) promises[i] = Promise<int>();
        },
        [&](std::size_t i) {
            try {
                (void)futures[i].result();
            } catch (const std::string&) {
                good[i] = i % 3 == 0;
            } catch (const CancelledError&) {
                good[i] = i % 3 == 1;
            } catch (const muster::BrokenPromise&) {
                good[i] = i % 3 == 2;
            }
        });
    CHECK(wrong([&](std::size_t i) { return good[i] == 1; }) == 0);
}

TEST_CASE("polling meets the result, or TimeoutError") {
    std::vector<Promise<int>> promises(rounds);
    const std::vector<Future<int>> futures = futures_of(promises);
    std::vector<int> seen(rounds);
    race(
        rounds, [&](std::size_t i) { promises[i].set_result(static_cast<int>(i)); },
        [&](std::size_t i) {
            for (bool there = false; !there;) {
                try {
                    seen[i] = futures[i].result(i % 2 == 0 ? 0us : 1us);
                    there = true;
                } catch (const muster::TimeoutError&) {
                    std::this_thread::yield();
                }
            }
        });
    CHECK(wrong([&](std::size_t i) { return seen[i] == static_cast<int>(i); }) == 0);
}

TEST_CASE("of two threads that take the result one gets it") {
    std::vector<Promise<std::unique_ptr<int>>> promises(rounds);
    const auto futures = futures_of(promises);
    Flags taken(rounds), refused(rounds);
    const auto take = [&](std::size_t i) {
        try {
            const auto copy = futures[i];
            const std::unique_ptr<int> mine = Future<std::unique_ptr<int>>(copy).result();
            if (*mine == 5) ++taken[i];
        } catch (const InvalidStateError&) {
            ++refused[i];
        }
    };
    race(
        rounds, [&](std::size_t i) { promises[i].set_result(std::make_unique<int>(5)); }, take,
        take);
    CHECK(wrong([&](std::size_t i) { return taken[i] == 1 && refused[i] == 1; }) == 0);
}

TEST_CASE("callbacks added while the task completes run exactly once") {
    constexpr int each = 5;
    std::vector<Promise<int>> promises(rounds);
    const std::vector<Future<int>> futures = futures_of(promises);
    std::vector<std::array<std::atomic<int>, 2>> next(rounds);
    Flags disorder(rounds);
    const auto adder = [&](std::size_t who) {
        return [&, who](std::size_t i) {
            for (int k = 0; k < each; ++k)
                futures[i].add_done_callback([&, who, i](const Future<int>& done) {
                    ++next[i][who];
                    if (!done.done()) ++disorder[i];
                });
        };
    };
    race(
        rounds, [&](std::size_t i) { promises[i].set_result(1); }, adder(0), adder(1));
    CHECK(wrong([&](std::size_t i) { return next[i][0] == each && next[i][1] == each; }) == 0);
    CHECK(wrong([&](std::size_t i) { return disorder[i] == 0; }) == 0);
}

TEST_CASE("links added while the task completes give their results") {
    std::vector<Promise<int>> promises(rounds);
    const std::vector<Future<int>> futures = futures_of(promises);
    std::vector<int> one(rounds), two(rounds);
    race(
        rounds, [&](std::size_t i) { promises[i].set_result(static_cast<int>(i)); },
        [&](std::size_t i) {
            one[i] = futures[i]
                         .then([](int x) { return x + 1; })
                         .then([](int x) { return x + 1; })
                         .result();
        },
        [&](std::size_t i) {
            two[i] = futures[i].then([](int x) { return muster::test::ready(x + 2); }).result();
        });
    CHECK(wrong([&](std::size_t i) { return one[i] == static_cast<int>(i) + 2; }) == 0);
    CHECK(one == two);
}

TEST_CASE("a link cancelled while the task before it completes runs, or is cancelled, not both") {
    std::vector<Promise<int>> promises(rounds);
    std::vector<Future<int>> links;
    Flags ran(rounds), cancelled(rounds), called(rounds);
    for (std::size_t i = 0; i < rounds; ++i) {
        links.push_back(
            promises[i].get_future().then([&, i, kept = std::make_unique<int>(1)](int x) {
                ran[i] = *kept;
                return x;
            }));
        links.back().add_done_callback([&, i](const Future<int>&) { ++called[i]; });
    }
    race(
        rounds, [&](std::size_t i) { promises[i].set_result(1); },
        [&](std::size_t i) { cancelled[i] = links[i].cancel(); });
    CHECK(wrong([&](std::size_t i) { return ran[i] + cancelled[i] == 1; }) == 0);
    CHECK(wrong([&](std::size_t i) { return links[i].cancelled() == (cancelled[i] == 1); }) == 0);
    CHECK(wrong([&](std::size_t i) { return called[i] == 1; }) == 0);
}

TEST_CASE("a link whose returned future is cancelled through it while that completes ends once") {
    std::vector<Promise<int>> inner(rounds);
    std::vector<Future<int>> links;
    Flags cancelled(rounds), set(rounds), called(rounds);
    for (std::size_t i = 0; i < rounds; ++i) {
        links.push_back(muster::test::ready().then([&inner, i] { return inner[i].get_future(); }));
        links.back().add_done_callback([&, i](const Future<int>&) { ++called[i]; });
    }
    race(
        rounds, [&](std::size_t i) { set[i] = sets(inner[i], 1); },
        [&](std::size_t i) { cancelled[i] = links[i].cancel(); });
    CHECK(wrong([&](std::size_t i) { return set[i] + cancelled[i] == 1; }) == 0);
    CHECK(wrong([&](std::size_t i) { return links[i].cancelled() == (cancelled[i] == 1); }) == 0);
    CHECK(wrong([&](std::size_t i) { return called[i] == 1; }) == 0);
}

TEST_CASE("when_all and when_any of futures that complete at the same time are done once") {
    std::vector<Promise<int>> first(rounds), second(rounds);
    std::vector<Future<std::vector<int>>> all;
    std::vector<Future<muster::WhenAny<int>>> any;
    Flags called(rounds);
    for (std::size_t i = 0; i < rounds; ++i) {
        const std::vector both{first[i].get_future(), second[i].get_future()};
        all.push_back(muster::when_all(both));
        any.push_back(muster::when_any(both));
        all.back().add_done_callback([&, i](const auto&) { ++called[i]; });
        any.back().add_done_callback([&, i](const auto&) { ++called[i]; });
    }
    race(
        rounds, [&](std::size_t i) { first[i].set_result(1); },
        [&](std::size_t i) { i % 2 == 0 ? second[i].set_result(2) : (void)fails(second[i]); });
    CHECK(wrong([&](std::size_t i) { return called[i] == 2 && any[i].result(0s).index < 2; }) == 0);
    CHECK(wrong([&](std::size_t i) { return all[i].wait_for(0s) && !all[i].cancelled(); }) == 0);
    CHECK(wrong([&](std::size_t i) { return (all[i].exception() == nullptr) == (i % 2 == 0); }) ==
          0);
}

TEST_CASE("whoever has got the result may destroy the promise at once") {
    std::vector<std::unique_ptr<Promise<int>>> promises(rounds);
    std::vector<Promise<int>*> setters;
    for (auto& promise : promises) {
        promise = std::make_unique<Promise<int>>();
        setters.push_back(promise.get());
    }
    std::atomic<int> sum = 0;
    race(
        rounds, [&](std::size_t i) { setters[i]->set_result(1); },
        [&](std::size_t i) {
            sum += promises[i]->get_future().result();
            promises[i].reset();
        });
    CHECK(sum == static_cast<int>(rounds));
}

TEST_CASE("a value is destroyed once, by whichever thread lets go last") {
    struct Counted {
        std::atomic<int>* destroyed;
        explicit Counted(std::atomic<int>* counter) : destroyed{counter} {}
        Counted(Counted&& other) noexcept : destroyed{std::exchange(other.destroyed, nullptr)} {}
        ~Counted() {
            if (destroyed) ++*destroyed;
        }
    };
    Flags destroyed(rounds);
    std::vector<Promise<Counted>> promises(rounds);
    std::array<std::vector<Future<Counted>>, 2> futures{futures_of(promises), futures_of(promises)};
    race(
        rounds,
        [&](std::size_t i) {
            promises[i].set_result(Counted(&destroyed[i]));
            promises[i] = Promise<Counted>();
        },
        [&](std::size_t i) { futures[0][i] = {}; },
        [&](std::size_t i) {
            const Future<Counted> copy = futures[1][i];
            futures[1][i] = {};
        });
    CHECK(wrong([&](std::size_t i) { return destroyed[i] == 1; }) == 0);
}

}  // namespace future_races_test
