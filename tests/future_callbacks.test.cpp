// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <muster/promise.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/wait.hpp>
#include <stdexcept>
#include <string>
#include <support/futures.hpp>
#include <thread>
#include <utility>
#include <vector>

namespace future_callbacks_test {

using muster::CancelledError;
using muster::Future;
using muster::Promise;
using muster::test::cancelled;
using muster::test::failed;
using muster::test::ready;
using namespace std::chrono_literals;

namespace {

/// An executor's on_error that keeps the messages. Read them when the executor is gone.
struct Complaints {
    std::vector<std::string> heard;
    std::function<void(std::exception_ptr)> listener() {
        return [this](const std::exception_ptr& error) {
            heard.push_back(muster::detail::describe(error));
        };
    }
};

}  // namespace

TEST_CASE("a done callback sees the outcome that ended the task") {
    Promise<int> good;
    Promise<int> bad;
    Promise<int> dropped;
    Promise<int> broken;
    int value = 0;
    std::exception_ptr error;
    bool saw_cancelled = false;
    bool saw_broken = false;
    good.get_future().add_done_callback([&](Future<int> done) { value = done.result(0s); });
    bad.get_future().add_done_callback([&](Future<int> done) { error = done.exception(0s); });
    dropped.get_future().add_done_callback(
        [&](Future<int> done) { saw_cancelled = done.done() && done.cancelled(); });
    broken.get_future().add_done_callback([&](Future<int> done) {
        try {
            (void)done.result(0s);
        } catch (const muster::BrokenPromise&) {
            saw_broken = true;
        }
    });
    CHECK(value == 0);
    good.set_result(42);
    CHECK(value == 42);
    bad.set_exception(std::make_exception_ptr(std::out_of_range("far")));
    CHECK_THROWS_AS(std::rethrow_exception(error), std::out_of_range);
    CHECK(dropped.get_future().cancel());
    CHECK(saw_cancelled);
    broken = Promise<int>();
    CHECK(saw_broken);
}

TEST_CASE("a callback added to a future that is done runs at once, in this thread") {
    for (const Future<int>& future :
         {ready(1), failed<int>(std::runtime_error("no")), cancelled<int>()}) {
        std::thread::id where;
        future.add_done_callback([&](const Future<int>&) { where = std::this_thread::get_id(); });
        CHECK(where == std::this_thread::get_id());
    }
}

TEST_CASE("a callback runs in the thread that completes or cancels the task") {
    std::thread::id completed;
    std::thread::id cancelled_in;
    std::thread::id completer;
    std::thread::id canceller;
    Promise<int> first;
    Promise<int> second;
    first.get_future().add_done_callback(
        [&](const Future<int>&) { completed = std::this_thread::get_id(); });
    second.get_future().add_done_callback(
        [&](const Future<int>&) { cancelled_in = std::this_thread::get_id(); });
    std::thread([&] {
        completer = std::this_thread::get_id();
        first.set_result(1);
    }).join();
    std::thread([&] {
        canceller = std::this_thread::get_id();
        second.get_future().cancel();
    }).join();
    CHECK(completed == completer);
    CHECK(cancelled_in == canceller);
}

TEST_CASE("callbacks run in the order in which they were added, each once") {
    Promise<int> promise;
    std::vector<int> order;
    for (int i = 0; i < 100; ++i)
        promise.get_future().add_done_callback(
            [&order, i](const Future<int>&) { order.push_back(i); });
    const Future<int> chained =
        promise.get_future().then([&](int) { return order.push_back(100), 0; });
    promise.get_future().add_done_callback([&](const Future<int>&) { order.push_back(101); });
    promise.set_result(1);
    CHECK(chained.done());
    CHECK_THROWS_AS(promise.set_result(2), muster::InvalidStateError);
    CHECK_FALSE(promise.get_future().cancel());
    REQUIRE(order.size() == 102);
    for (std::size_t i = 0; i < order.size(); ++i) CHECK(order[i] == static_cast<int>(i));
}

TEST_CASE("what hangs on a link runs right after it, before the callbacks added later") {
    Promise<int> promise;
    std::vector<std::string> order;
    const auto note = [&order](const char* what) {
        return [&order, what](const Future<int>&) { order.emplace_back(what); };
    };
    const Future<int> link = promise.get_future().then([](int x) { return x; });
    const Future<int> twig = link.then([](int x) { return x; });
    promise.get_future().add_done_callback(note("root"));
    twig.add_done_callback(note("twig"));
    link.add_done_callback(note("link"));
    promise.set_result(1);
    CHECK(order == std::vector<std::string>{"twig", "link", "root"});
}

TEST_CASE("a callback is given the future itself, and may keep it") {
    Promise<int> promise;
    Future<int> kept;
    promise.get_future().add_done_callback([&](Future<int> done) { kept = std::move(done); });
    promise.set_result(3);
    CHECK(kept == promise.get_future());
    CHECK(kept.result() == 3);
}

TEST_CASE("callbacks may be move-only, mutable, named, function pointers and std::function") {
    static int told;
    told = 0;
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    int sum = 0;
    future.add_done_callback([owned = std::make_unique<int>(1), &sum](const Future<int>&) mutable {
        *owned += 1;
        sum += *owned;
    });
    auto named = [shared = std::make_shared<int>(10), &sum](const Future<int>&) { sum += *shared; };
    future.add_done_callback(named);
    future.add_done_callback(named);
    void (*pointer)(Future<int>) = [](Future<int> done) { told = done.result(); };
    future.add_done_callback(pointer);
    const std::function<void(Future<int>)> function = [&](Future<int> done) {
        sum += done.result();
    };
    future.add_done_callback(function);
    promise.set_result(100);
    CHECK(sum == 122);
    CHECK(told == 100);
}

TEST_CASE("a callback is destroyed when it has run, before the next one runs") {
    Promise<int> promise;
    auto owned = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = owned;
    bool gone = false;
    promise.get_future().add_done_callback([owned](const Future<int>&) {});
    promise.get_future().add_done_callback([&](const Future<int>&) { gone = watched.expired(); });
    owned.reset();
    CHECK_FALSE(watched.expired());
    promise.set_result(1);
    CHECK(gone);
}

TEST_CASE("a callback that throws disturbs neither the next one nor who completes the task") {
    Complaints complaints;
    bool ran = false;
    {
        muster::ThreadPoolExecutor pool({.max_workers = 1, .on_error = complaints.listener()});
        Promise<void> gate;
        const Future<int> future = pool.submit([opened = gate.get_future()] {
            opened.wait();
            return 5;
        });
        future.add_done_callback([](const Future<int>&) { throw std::runtime_error("first"); });
        future.add_done_callback([&](const Future<int>&) { ran = true; });
        future.add_done_callback([](const Future<int>&) { throw 7; });
        future.then([](int x) { return x; }).add_done_callback([](const Future<int>&) {
            throw std::logic_error("through then");
        });
        gate.set_result();
        CHECK(future.result() == 5);
        pool.wait_idle();
        CHECK(pool.submit([] { return 6; }).result() == 6);
    }
    CHECK(ran);
    CHECK(complaints.heard == std::vector<std::string>{"first",
                                                       "an exception that is not a std::exception",
                                                       "through then"});
}

TEST_CASE("a callback that throws at once, or in the thread that cancels, throws at nobody") {
    Complaints complaints;
    {
        muster::ThreadPoolExecutor pool({.max_workers = 1, .on_error = complaints.listener()});
        const Future<int> done = pool.submit([] { return 1; });
        done.wait();
        CHECK_NOTHROW(done.add_done_callback(
            [](const Future<int>&) { throw std::runtime_error("at once"); }));

        Promise<void> begun;
        Promise<void> gate;
        pool.post([&begun, opened = gate.get_future()] {
            begun.set_result();
            opened.wait();
        });
        begun.get_future().wait();
        const Future<int> queued = pool.submit([] { return 2; });
        queued.add_done_callback([](const Future<int>&) { throw std::runtime_error("cancelled"); });
        CHECK(queued.cancel());
        gate.set_result();
    }
    CHECK(complaints.heard == std::vector<std::string>{"at once", "cancelled"});
}

TEST_CASE("a callback may add callbacks to its own future: they run at once") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    std::vector<int> order;
    future.add_done_callback([&](const Future<int>& done) {
        order.push_back(1);
        done.add_done_callback([&](const Future<int>& again) {
            order.push_back(2);
            again.add_done_callback([&](const Future<int>&) { order.push_back(3); });
        });
        order.push_back(4);
    });
    future.add_done_callback([&](const Future<int>&) { order.push_back(5); });
    promise.set_result(1);
    CHECK(order == std::vector<int>{1, 2, 3, 4, 5});
}

TEST_CASE("a callback may wait for its own future, cancel it and complete another promise") {
    Promise<int> first;
    Promise<int> second;
    int sum = 0;
    bool was_cancelled = true;
    first.get_future().add_done_callback([&](Future<int> done) {
        done.wait();
        was_cancelled = done.cancel();
        second.set_result(done.result() + 1);
        sum += 1;  // After what hangs on the second.
    });
    second.get_future().add_done_callback([&](Future<int> done) { sum = done.result() * 10; });
    first.set_result(1);
    CHECK(sum == 21);
    CHECK_FALSE(was_cancelled);
}

TEST_CASE("a callback may destroy the promise and the last other handle") {
    auto promise = std::make_unique<Promise<int>>();
    std::vector<int> seen;
    {
        const Future<int> future = promise->get_future();
        future.add_done_callback([&](const Future<int>&) { promise.reset(); });
        future.add_done_callback([&](Future<int> done) { seen.push_back(done.result()); });
        future.add_done_callback([&](Future<int> done) { seen.push_back(done.result()); });
    }
    promise->set_result(4);
    CHECK(promise == nullptr);
    CHECK(seen == std::vector<int>{4, 4});

    auto failing = std::make_unique<Promise<void>>();
    failing->get_future().add_done_callback([&](const Future<void>&) { failing.reset(); });
    failing->get_future().add_done_callback([&](const Future<void>&) { seen.clear(); });
    failing->set_exception(std::make_exception_ptr(1));
    CHECK(seen.empty());
}

TEST_CASE("a callback may destroy the handle that cancels, and the pool let go of the task") {
    muster::ThreadPoolExecutor pool(1);
    Promise<void> opens;
    const Future<void> open = opens.get_future();
    const Future<void> busy = pool.submit([open] { open.wait(); });
    auto handle = std::make_unique<Future<int>>(pool.submit([] { return 1; }));
    const Future<int> last = pool.submit([] { return 2; });
    bool saw_cancelled = false;
    handle->add_done_callback([&](const Future<int>&) {
        handle.reset();
        opens.set_result();
        last.wait();  // The worker has dropped what was queued before.
    });
    handle->add_done_callback([&](const Future<int>& done) { saw_cancelled = done.cancelled(); });

    CHECK(handle->cancel());

    CHECK(saw_cancelled);
}

TEST_CASE("a callback that destroys the last handle may throw") {
    Complaints complaints;
    {
        muster::ThreadPoolExecutor pool({.max_workers = 1, .on_error = complaints.listener()});
        auto handle = std::make_unique<Future<int>>(pool.submit([] { return 1; }));
        pool.shutdown();
        handle->add_done_callback([&](const Future<int>&) {
            handle.reset();
            throw std::runtime_error("after the last handle");
        });
    }
    CHECK(complaints.heard == std::vector<std::string>{"after the last handle"});
}

TEST_CASE("a callback that blocks delays no wait, whatever the order in which they came") {
    Promise<int> promise;
    const Future<int> future = promise.get_future();
    std::atomic<int> waited = 0;
    Promise<void> all_waited;
    future.add_done_callback(
        [opened = all_waited.get_future()](const Future<int>&) { opened.wait(); });
    std::vector<std::jthread> threads;
    const auto count = [&] {
        if (++waited == 3) all_waited.set_result();
    };
    threads.emplace_back([&] { future.wait(), count(); });
    threads.emplace_back([&] { (void)muster::wait(std::vector{future}), count(); });
    threads.emplace_back([&] {
        for (const auto& done : muster::as_completed(std::vector{future})) done.wait();
        count();
    });
    promise.set_result(1);  // Returns only when all three waits have.
    CHECK(waited == 3);
}

TEST_CASE("add_done_callback passes on what copying the callable throws, and adds nothing") {
    struct Uncopyable {
        Uncopyable() = default;
        Uncopyable(const Uncopyable& /*other*/) { throw std::runtime_error("copy"); }
        void operator()(const Future<int>& /*done*/) const {}
    };
    Promise<int> promise;
    const Uncopyable callable;
    CHECK_THROWS_AS(promise.get_future().add_done_callback(callable), std::runtime_error);
    promise.set_result(1);
    CHECK(promise.get_future().result() == 1);
}

}  // namespace future_callbacks_test
