// SPDX-License-Identifier: MIT
// ctest: concurrency
// How long executors that share the test's memory keep what they are given.
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

#include "support/event.hpp"
#include "support/executors.hpp"

namespace executor_ownership_test {

namespace {

using muster::test::Event;

struct Tracked {
    std::shared_ptr<int> token;
    bool fails = false;

    int operator()(const std::shared_ptr<int>& argument) const {
        if (fails) throw std::runtime_error("failed");
        return *token + *argument;
    }
};

}  // namespace

TEST_CASE_TEMPLATE("the callable and its arguments are destroyed before the future is done", E,
                   EVERY_LOCAL_EXECUTOR) {
    for (const bool fails : {false, true}) {
        CAPTURE(fails);
        E pool;
        auto callable = std::make_shared<int>(1);
        auto argument = std::make_shared<int>(2);
        const std::weak_ptr<int> of_callable = callable;
        const std::weak_ptr<int> of_argument = argument;
        Tracked fn{std::move(callable), fails};

        auto task = pool.submit(std::move(fn), std::move(argument));
        task.wait();

        CHECK(of_callable.expired());
        CHECK(of_argument.expired());
        CHECK((task.exception() != nullptr) == fails);
    }
}

TEST_CASE_TEMPLATE("callbacks find the callable and its arguments destroyed", E,
                   EVERY_LOCAL_EXECUTOR) {
    E pool;
    auto argument = std::make_shared<int>(2);
    const std::weak_ptr<int> alive = argument;
    bool destroyed = false;

    pool.submit([](const std::shared_ptr<int>& p) { return *p; }, std::move(argument))
        .add_done_callback([&](const auto&) { destroyed = alive.expired(); });
    pool.wait_idle();

    CHECK(destroyed);
}

TEST_CASE("a cancelled task lets go of its callable at once") {
    muster::ThreadPoolExecutor pool(1);
    const Event gate;
    pool.post([gate] { gate.wait(); });
    auto kept = std::make_shared<int>(1);
    const std::weak_ptr<int> alive = kept;
    auto pending = pool.submit([kept = std::move(kept)] { return *kept; });

    REQUIRE(pending.cancel());

    CHECK(alive.expired());
}

TEST_CASE_TEMPLATE("a dropped future's result is destroyed with its task", E,
                   EVERY_LOCAL_EXECUTOR) {
    E pool;
    auto result = std::make_shared<int>(1);
    const std::weak_ptr<int> alive = result;
    (void)pool.submit([result] { return result; });
    result.reset();

    pool.shutdown();

    CHECK(alive.expired());
}

TEST_CASE_TEMPLATE("references are passed by std::ref alone", E, EVERY_LOCAL_EXECUTOR) {
    E pool;
    int value = 1;

    pool.submit([](int& x) { ++x; }, std::ref(value)).result();

    CHECK(value == 2);
}

TEST_CASE_TEMPLATE("callables may be movable only", E, EVERY_LOCAL_EXECUTOR) {
    E pool;

    CHECK(pool.submit([p = std::make_unique<int>(5)] { return *p; }).result() == 5);
    pool.post([p = std::make_unique<int>(5)] { (void)p; });
}

TEST_CASE_TEMPLATE("a pointer to an object serves its member functions", E, EVERY_LOCAL_EXECUTOR) {
    struct Counter {
        int count = 0;
        int next() { return ++count; }
    };
    E pool;
    Counter counter;

    CHECK(pool.submit(&Counter::next, &counter).result() == 1);
    CHECK(pool.submit(&Counter::next, std::ref(counter)).result() == 2);
    CHECK(counter.count == 2);
}

TEST_CASE_TEMPLATE("a submit that throws while copying its arguments leaves nothing behind", E,
                   EVERY_LOCAL_EXECUTOR) {
    struct Uncopyable {
        Uncopyable() = default;
        Uncopyable(const Uncopyable&) { throw std::runtime_error("copy"); }
    };
    E pool;
    const Uncopyable argument;

    CHECK_THROWS_WITH_AS((void)pool.submit([](const Uncopyable&) {}, argument), "copy",
                         std::runtime_error);

    pool.wait_idle();
    CHECK(pool.stats().pending == 0);
    CHECK(pool.submit([] { return 1; }).result() == 1);
}

TEST_CASE("futures outlive their executor") {
    muster::Future<int> value;
    muster::Future<int> failure;
    {
        muster::ThreadPoolExecutor pool(2);
        value = pool.submit([] { return 3; });
        failure = pool.submit([]() -> int { throw std::runtime_error("late"); });
    }
    CHECK(value.result() == 3);
    CHECK_THROWS_AS((void)failure.result(), std::runtime_error);
}

}  // namespace executor_ownership_test
