// SPDX-License-Identifier: MIT
// ctest: alone
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <muster/inline_executor.hpp>
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/wait.hpp>
#include <muster/when.hpp>
#include <new>
#include <string>
#include <support/futures.hpp>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

using muster::Future;
using muster::Promise;
using muster::test::ready;
using namespace std::chrono_literals;

// Counts what the program holds, so that a test sees what was not given back.
namespace {

std::atomic<long> blocks_held = 0;

void* take(std::size_t size, std::size_t alignment) {
    const std::size_t whole = (size + alignment - 1) / alignment * alignment;
    void* const block = std::aligned_alloc(alignment, whole == 0 ? alignment : whole);
    if (!block) throw std::bad_alloc();
    ++blocks_held;
    return block;
}

void give_back(void* block) noexcept {
    if (block) --blocks_held;
    std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return take(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return take(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { give_back(block); }
void operator delete(void* block, std::size_t) noexcept { give_back(block); }
void operator delete(void* block, std::align_val_t) noexcept { give_back(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { give_back(block); }

namespace {

constexpr int length = 100'000;

int plus_one(int x) { return x + 1; }

/// A chain of `length` links behind a promise.
Future<int> long_chain(const Promise<int>& promise) {
    Future<int> end = promise.get_future();
    for (int i = 0; i < length; ++i) end = end.then(plus_one);
    return end;
}

/// Starts over until `left` is used up, each time as the continuation of the time before.
Future<int> asynchronous_loop(std::vector<Promise<void>>& turns, std::size_t turn) {
    if (turn == turns.size()) return ready(static_cast<int>(turn));
    return turns[turn].get_future().then(
        [&turns, turn] { return asynchronous_loop(turns, turn + 1); });
}

}  // namespace

TEST_CASE("a chain of a hundred thousand links gives its value, whoever completes it") {
    Promise<int> promise;
    const Future<int> end = long_chain(promise);
    SUBCASE("in this thread") { promise.set_result(0); }
    SUBCASE("in a thread with an ordinary stack") {
        std::thread([&] { promise.set_result(0); }).join();
    }
    CHECK(end.result() == length);
}

TEST_CASE(
    "a chain of a hundred thousand links passes on errors, cancellation and broken promises") {
    Promise<int> promise;
    const Future<int> end = long_chain(promise);
    SUBCASE("error") {
        promise.set_exception(std::make_exception_ptr(std::string("no")));
        CHECK_THROWS_AS((void)end.result(0s), std::string);
    }
    SUBCASE("cancellation") {
        promise.get_future().cancel();
        CHECK(end.cancelled());
    }
    SUBCASE("broken promise") {
        promise = {};
        CHECK_THROWS_AS((void)end.result(0s), muster::BrokenPromise);
    }
}

TEST_CASE("a chain of a hundred thousand links can be waited for in every way") {
    Promise<int> promise;
    const std::vector ends{long_chain(promise)};
    CHECK_FALSE(ends[0].wait_for(0s));
    CHECK_FALSE(ends[0].wait_for(1ms));
    CHECK(muster::wait(ends, 1ms).done.empty());
    CHECK_FALSE(muster::when_all(ends).wait_for(1ms));
    muster::ThreadPoolExecutor pool(1);
    const Future<bool> task = pool.submit([&] { return ends[0].wait_for(1ms); });
    CHECK_FALSE(task.result());
}

TEST_CASE("a chain of a hundred thousand links through when_all, tasks and returned futures ends") {
    muster::InlineExecutor here;
    Promise<int> promise;
    Future<int> end = promise.get_future();
    for (int i = 0; i < length / 4; ++i) {
        end = end.then([](int x) { return ready(x + 1); });
        end = end.then(here, plus_one);
        end = muster::when_all(end).then([](const std::tuple<int>& x) { return std::get<0>(x); });
    }
    promise.set_result(0);
    CHECK(end.result() == length / 4 * 2);
}

TEST_CASE("a loop of a hundred thousand turns, each the continuation of the last, ends") {
    std::vector<Promise<void>> turns(length);
    const Future<int> end = asynchronous_loop(turns, 0);
    for (Promise<void>& turn : turns) turn.set_result();
    CHECK(end.result(0s) == length);
}

TEST_CASE("a chain whose every link has callbacks beside it runs them in order") {
    Promise<int> promise;
    Future<int> end = promise.get_future();
    std::vector<int> order;
    for (int i = 0; i < length; ++i) {
        const Future<int> link = end.then(plus_one);
        end.add_done_callback([&order](Future<int> done) { order.push_back(done.result()); });
        end = link;
    }
    promise.set_result(0);
    CHECK(end.result() == length);
    bool innermost_first = order.size() == length;
    for (std::size_t i = 0; i < order.size(); ++i)
        innermost_first = innermost_first && order[i] == length - 1 - static_cast<int>(i);
    CHECK(innermost_first);
}

TEST_CASE("chains give all memory back when they are done and gone, however they end") {
    enum class Ending { value, error, cancelled_in_front, cancelled_at_the_end, broken };
    for (const Ending ending : {Ending::value, Ending::error, Ending::cancelled_in_front,
                                Ending::cancelled_at_the_end, Ending::broken}) {
        const long before = blocks_held;
        {
            Promise<int> promise;
            Future<int> end = promise.get_future();
            for (int i = 0; i < 100; ++i) {
                end = end.then(plus_one);
                end = end.then([](int x) { return ready(ready(x)); });
                end = muster::when_all(end, ready()).then([](const auto& x) {
                    return std::get<0>(x);
                });
                end.add_done_callback([kept = std::make_unique<int>(1)](const Future<int>&) {});
            }
            if (ending == Ending::value) promise.set_result(0);
            if (ending == Ending::error) promise.set_exception(std::make_exception_ptr(1));
            if (ending == Ending::cancelled_in_front) promise.get_future().cancel();
            if (ending == Ending::cancelled_at_the_end) end.cancel();
        }
        CHECK(blocks_held == before);
    }
}

TEST_CASE("the values of a chain do not outlive their links") {
    Promise<std::string> promise;
    Future<std::string> end = promise.get_future();
    for (int i = 0; i < 1000; ++i)
        end = std::move(end).then([](std::string x) { return std::move(x) + "x"; });
    const long before = blocks_held;
    promise.set_result(std::string(1000, 'y'));
    promise = {};
    CHECK(blocks_held < before - 900);
    CHECK(end.result().size() == 2000);
}

TEST_CASE("polling one pending future for ever takes no memory") {
    Promise<int> never;
    const std::vector futures{never.get_future()};
    const long before = blocks_held;
    for (int i = 0; i < 1'000'000; ++i) (void)futures[0].wait_for(0s);
    CHECK(blocks_held == before);
    for (int i = 0; i < 100'000; ++i) (void)muster::wait(futures, 0s);
    CHECK(blocks_held == before);
    for (int i = 0; i < 1000; ++i) {
        (void)muster::as_completed(futures, 0s);
        (void)muster::wait(futures, muster::ReturnWhen::first_completed, 1us);
    }
    CHECK(blocks_held == before);
}
