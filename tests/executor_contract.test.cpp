// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What every executor promises about one task: how it is called and what its future holds. The rest
// is in executor_admission.test.cpp, executor_map.test.cpp and executor_shutdown.test.cpp.
#include <muster/wait.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/executors.hpp"
#include "support/task_gate.hpp"

namespace executor_contract_test {

namespace {

using muster::Future;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }
int size_of(const std::string& text) { return static_cast<int>(text.size()); }
int throws(int x) { throw std::out_of_range("no element " + std::to_string(x)); }
void nothing() {}

struct Point {
    int x = 0;
    int y = 0;

    int sum() const { return x + y; }
    int plus(int z) const { return x + y + z; }
    bool operator==(const Point&) const = default;
};

struct Doubles {
    int operator()(int x) const { return 2 * x; }
};

// A function object whose state goes along, and which can be called only as an rvalue.
struct AddOnce {
    int amount = 0;
    int operator()(int x) && { return x + amount; }
};

// Callable in both ways, so it gets no token.
struct WantsNoToken {
    std::string operator()(int) const { return "alone"; }
    std::string operator()(const muster::StopToken&, int) const { return "with a token"; }
};

// Tasks and callbacks refer to their executor: it stays where it is.
template <typename E>
constexpr bool stays = !std::is_copy_constructible_v<E> && !std::is_move_constructible_v<E> &&
                       !std::is_copy_assignable_v<E> && !std::is_move_assignable_v<E>;
static_assert(stays<muster::InlineExecutor>);
static_assert(stays<muster::ThreadPoolExecutor>);
static_assert(stays<muster::ProcessPoolExecutor>);

/// What the call throws, in words.
template <typename Call>
std::string words(Call call) {
    try {
        (void)call();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE_TEMPLATE("submit calls functions, lambdas and function objects", E, EVERY_EXECUTOR) {
    E pool;

    CHECK(pool.submit(twice, 4).result() == 8);
    CHECK(pool.submit(&twice, 4).result() == 8);
    CHECK(pool.submit([](int x, int y) { return x - y; }, 7, 2).result() == 5);
    CHECK(pool.submit(Doubles{}, 3).result() == 6);
    CHECK(pool.submit(AddOnce{5}, 3).result() == 8);
}

TEST_CASE_TEMPLATE("submit calls members of its first argument", E, EVERY_EXECUTOR) {
    E pool;

    CHECK(pool.submit(&Point::sum, Point{1, 2}).result() == 3);
    CHECK(pool.submit(&Point::plus, Point{1, 2}, 3).result() == 6);
    CHECK(pool.submit(&Point::y, Point{1, 2}).result() == 2);
}

TEST_CASE_TEMPLATE("submit copies lvalue arguments", E, EVERY_EXECUTOR) {
    E pool;
    const std::string text = "unchanged";
    Point point{1, 2};

    auto size = pool.submit(size_of, text);
    auto sum = pool.submit([](Point p) { return p.x + p.y; }, point);
    point.x = 100;

    CHECK(size.result() == 9);
    CHECK(sum.result() == 3);
    CHECK(text == "unchanged");
}

TEST_CASE_TEMPLATE("a string literal arrives as a std::string", E, EVERY_EXECUTOR) {
    E pool;

    CHECK(pool.submit([](std::string s) { return s + "!"; }, "hi").result() == "hi!");
    CHECK(pool.submit([](auto s) { return s + "!"; }, "hi").result() == "hi!");
    CHECK(pool.submit([](auto s) { return std::is_same_v<decltype(s), std::string>; }, "hi")
              .result());
    CHECK(pool.submit([](auto s) { return std::is_same_v<decltype(s), std::u16string>; }, u"hi")
              .result());
}

TEST_CASE_TEMPLATE("arguments and results may be movable only", E, EVERY_EXECUTOR) {
    E pool;
    const auto add_one = [](std::unique_ptr<int> value) {
        ++*value;
        return value;
    };

    std::unique_ptr<int> result = pool.submit(add_one, std::make_unique<int>(41)).result();

    REQUIRE(result);
    CHECK(*result == 42);
}

TEST_CASE_TEMPLATE("a result is held without reference and const", E, EVERY_EXECUTOR) {
    E pool;
    const auto same = [](const std::string& s) -> const std::string& { return s; };

    auto future = pool.submit(same, std::string("value"));

    static_assert(std::is_same_v<decltype(future), Future<std::string>>);
    CHECK(future.result() == "value");
}

TEST_CASE_TEMPLATE("a task without a result has a Future<void>", E, EVERY_EXECUTOR) {
    E pool;

    auto future = pool.submit(nothing);

    static_assert(std::is_same_v<decltype(future), Future<void>>);
    future.result();
    CHECK(future.done());
    CHECK(future.exception() == nullptr);
}

TEST_CASE_TEMPLATE("a callable that takes a StopToken gets one that has not been asked", E,
                   EVERY_EXECUTOR) {
    E pool;
    const auto asked = [](muster::StopToken stop, int x) { return stop.stop_requested() ? -1 : x; };

    CHECK(pool.submit(asked, 3).result() == 3);
    CHECK(pool.submit(WantsNoToken{}, 3).result() == "alone");
}

TEST_CASE_TEMPLATE("request_stop reaches the running task", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    auto task = pool.submit(
        [](muster::StopToken stop, const std::string& path) {
            TaskGate::arrive(path, 'a');
            while (!stop.stop_requested()) std::this_thread::yield();
            return 'z';
        },
        gate.path());
    CHECK(gate.arrival() == 'a');

    CHECK(task.request_stop());

    CHECK(task.result() == 'z');
    CHECK_FALSE(task.request_stop());  // Done: nobody listens any more.
}

TEST_CASE_TEMPLATE("request_stop is false for a task that takes no token", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    auto task = pool.submit(TaskGate::pass, gate.path(), 'a');
    gate.arrival();

    CHECK_FALSE(task.request_stop());
}

TEST_CASE_TEMPLATE("an exception arrives with its type, words and code", E, EVERY_EXECUTOR) {
    E pool;
    const auto fails = [](int code) {
        throw std::system_error(code, std::generic_category(), "reading");
    };

    auto thrown = pool.submit(throws, 7);
    CHECK_THROWS_WITH_AS((void)thrown.result(), "no element 7", std::out_of_range);
    auto failed = pool.submit(fails, 2);
    REQUIRE(failed.exception() != nullptr);
    try {
        failed.result();
        FAIL("it did not throw");
    } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::no_such_file_or_directory);
    }
    CHECK_THROWS_AS(failed.result(), std::system_error);  // Each time.
}

TEST_CASE_TEMPLATE("a task is pending, then running, then done", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto second = pool.submit(twice, 1);
    gate.arrival();

    CHECK(first.running());
    CHECK_FALSE(first.cancel());
    CHECK_FALSE(second.running());
    CHECK_FALSE(second.done());
    CHECK_FALSE(second.wait_for(0s));
    CHECK_THROWS_AS((void)second.result(1ms), muster::TimeoutError);
    gate.open();

    CHECK(first.result() == 'a');
    CHECK(second.result() == 2);
    CHECK_FALSE(second.running());
    CHECK_FALSE(second.cancel());
}

TEST_CASE_TEMPLATE("a cancelled task never runs", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto pending = pool.submit(TaskGate::arrive, gate.path(), 'b');
    gate.arrival();

    CHECK(pending.cancel());
    CHECK(pending.cancel());
    CHECK(pending.cancelled());
    CHECK_THROWS_AS((void)pending.result(), muster::CancelledError);
    gate.open();
    pool.wait_idle();

    CHECK(gate.arrived() == "");
    CHECK(running.result() == 'a');
}

TEST_CASE_TEMPLATE("submit takes options before the callable", E, EVERY_EXECUTOR) {
    E pool;
    const muster::TaskOptions named{.name = "doubling", .priority = 3};

    CHECK(pool.submit(
                  {.name = "adding", .priority = -1}, [](int x) { return x + 1; }, 4)
              .result() == 5);
    CHECK(pool.submit(named, twice, 4).result() == 8);
    CHECK(pool.try_submit({.priority = 1}, twice, 4).value().result() == 8);
}

TEST_CASE_TEMPLATE("errors of a future say which task it is of", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    const TaskGate closed;
    auto first = pool.submit({.name = "first"}, TaskGate::pass, gate.path(), 'a');
    const auto second = pool.submit({.name = "second"}, twice, 1);
    gate.arrival();

    CHECK(words([&] { return second.result(1ms); }).find("'second'") != std::string::npos);
    (void)second.cancel();
    CHECK(words([&] { return second.result(); }).find("'second'") != std::string::npos);
    CHECK(words([&] { return second.exception(); }).find("'second'") != std::string::npos);
    gate.open();
    const auto same = first;
    (void)std::move(first).result();
    CHECK(words([&] { return same.result(); }).find("'first'") != std::string::npos);
    const auto late =
        pool.submit({.name = "late", .timeout = 1ms}, TaskGate::pass, closed.path(), 'b');
    CHECK(words([&] { return late.result(); }).find("'late'") != std::string::npos);
}

TEST_CASE_TEMPLATE("errors say what the reader can do", E, EVERY_POOL) {
    const auto advises = [](auto call, const std::string& advice) {
        const std::string said = words(call);
        const bool found = said.find(advice) != std::string::npos;
        CHECK_MESSAGE(found, said);
    };
    E pool(1);
    TaskGate gate;
    const auto wait_for_token = [](const muster::StopToken& stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
    };
    advises([&] { pool.submit({.timeout = 1ms}, wait_for_token).result(); }, "longer .timeout");
    const auto late = pool.submit({.timeout = 1ms}, TaskGate::pass, gate.path(), 'a');
    advises([&] { return late.result(); }, "longer .timeout");
    // Nobody has asked it.
    CHECK(words([&] { return late.result(); }).find("was asked to stop") == std::string::npos);
    const std::vector futures{pool.submit(TaskGate::pass, gate.path(), 'b')};
    advises([&] { return *muster::as_completed(futures, 1ms).begin(); }, "wait for them again");
    advises([] { (void)Future<int>().result(); }, "ask the one that submit() returned");
    gate.open();
    if constexpr (!std::is_same_v<E, muster::ThreadPoolExecutor>) {
        const std::string crash = words([&] { pool.submit([] { std::abort(); }).result(); });
        CHECK(crash.find("other tasks") == std::string::npos);  // kill_workers() ends them as well.
        CHECK_MESSAGE(crash.find(".retries") != std::string::npos, crash);
    }
    E broken({.max_workers = 1, .initializer = [] { throw std::out_of_range("no licence"); }});
    const std::string why = words([&] { broken.submit(nothing).result(); });
    CHECK_MESSAGE(why.ends_with("make another: its initializer threw: no licence"), why);
}

}  // namespace executor_contract_test
