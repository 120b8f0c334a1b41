// SPDX-License-Identifier: MIT
// ctest: concurrency
// What every executor promises about one task: how it is called, what its future holds, how it is
// counted. executor_map.test.cpp and executor_shutdown.test.cpp have the rest.
#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/event.hpp"
#include "support/executors.hpp"
#include "support/task_gate.hpp"

namespace {

using muster::Future;
using muster::test::Event;
using muster::test::TaskGate;
using muster::test::with_workers;
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
    const auto asked = [](muster::StopToken stop, int x) {
        return stop.stop_requested() ? -1 : x;
    };

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

    CHECK_THROWS_WITH_AS((void)pool.submit(throws, 7).result(), "no element 7", std::out_of_range);
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

    CHECK(pool.submit({.name = "adding", .priority = -1}, [](int x) { return x + 1; }, 4).result() ==
          5);
    CHECK(pool.submit(named, twice, 4).result() == 8);
    CHECK(pool.try_submit({.priority = 1}, twice, 4).value().result() == 8);
}

TEST_CASE("higher priorities are begun first, equals in order") {
    muster::ThreadPoolExecutor pool(1);
    TaskGate gate;
    pool.post(TaskGate::pass, gate.path(), 'a');
    gate.arrival();
    const std::vector<std::pair<int, char>> tasks{{0, 'f'},  {-1, 'i'}, {2, 'b'}, {0, 'g'}, {-2, 'k'},
                                                  {1, 'd'},  {2, 'c'},  {1, 'e'}, {0, 'h'}, {-1, 'j'}};

    for (const auto& [priority, letter] : tasks)
        pool.post({.priority = priority}, TaskGate::arrive, gate.path(), letter);
    gate.open();
    pool.wait_idle();

    CHECK(gate.arrived() == "bcdefghijk");
}

TEST_CASE_TEMPLATE("try_submit has a future where there is room", E, EVERY_EXECUTOR) {
    E pool;

    std::optional<Future<int>> future = pool.try_submit(twice, 5);

    REQUIRE(future);
    CHECK(future->result() == 10);
}

TEST_CASE_TEMPLATE("a full pool turns try_submit away and lets submit wait", E, EVERY_POOL) {
    E pool({.max_workers = 1, .max_pending = 2});
    TaskGate gate;
    auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto pending = pool.submit(twice, 1);
    gate.arrival();

    CHECK_FALSE(pool.try_submit(twice, 2));
    std::optional<Future<int>> late;
    const Event submitted;
    std::thread submitter([&, submitted] {
        late = pool.submit(twice, 3);
        submitted.set();
    });
    CHECK_FALSE(submitted.wait_for(5ms));
    gate.open();
    submitter.join();

    CHECK(late.value().result() == 6);
    CHECK(pending.result() == 2);
    pool.wait_idle();
    CHECK(pool.try_submit(twice, 4).value().result() == 8);
}

TEST_CASE_TEMPLATE("a cancelled task makes room", E, EVERY_POOL) {
    E pool({.max_workers = 1, .max_pending = 2});
    TaskGate gate;
    pool.post(TaskGate::pass, gate.path(), 'a');
    auto pending = pool.submit(twice, 1);
    gate.arrival();
    REQUIRE_FALSE(pool.try_submit(twice, 2));

    pending.cancel();

    CHECK(pool.try_submit(twice, 3).has_value());
}

TEST_CASE_TEMPLATE("post runs without a future", E, EVERY_EXECUTOR) {
    E pool;
    TaskGate gate;

    pool.post(TaskGate::arrive, gate.path(), 'a');
    pool.post({.name = "posted"}, TaskGate::arrive, gate.path(), 'b');
    pool.wait_idle();

    CHECK(gate.arrived().size() == 2);
    CHECK(pool.stats().completed == 2);
}

TEST_CASE_TEMPLATE("what a posted task throws goes to on_error", E, EVERY_POOL) {
    std::mutex mutex;
    std::vector<std::string> messages;
    E pool({.max_workers = 2, .on_error = [&](std::exception_ptr error) {
                try {
                    std::rethrow_exception(std::move(error));
                } catch (const std::out_of_range& thrown) {
                    const std::lock_guard held(mutex);
                    messages.emplace_back(thrown.what());
                }
            }});

    pool.post(throws, 7);
    pool.post(twice, 1);
    pool.wait_idle();

    CHECK(messages == std::vector<std::string>{"no element 7"});
    CHECK(pool.stats().failed == 1);
}

TEST_CASE_TEMPLATE("what a callback throws goes to on_error and disturbs nobody", E, EVERY_POOL) {
    std::mutex mutex;
    std::vector<std::string> messages;
    E pool({.max_workers = 1, .on_error = [&](std::exception_ptr error) {
                try {
                    std::rethrow_exception(std::move(error));
                } catch (const std::exception& thrown) {
                    const std::lock_guard held(mutex);
                    messages.emplace_back(thrown.what());
                }
            }});
    TaskGate gate;
    bool next_was_called = false;
    auto task = pool.submit(TaskGate::pass, gate.path(), 'a');
    task.add_done_callback([](const auto&) { throw std::runtime_error("callback"); });
    task.add_done_callback([&](const auto&) { next_was_called = true; });
    gate.open();
    pool.wait_idle();

    CHECK(messages == std::vector<std::string>{"callback"});
    CHECK(next_was_called);
    CHECK(task.result() == 'a');
}

TEST_CASE_TEMPLATE("stats count each task once", E, EVERY_EXECUTOR) {
    E pool = with_workers<E>(2);
    for (int i = 0; i < 5; ++i) (void)pool.submit(twice, i);
    for (int i = 0; i < 3; ++i) (void)pool.submit(throws, i);
    pool.post(nothing);
    pool.wait_idle();

    const auto stats = pool.stats();

    CHECK(stats.pending == 0);
    CHECK(stats.running == 0);
    CHECK(stats.completed == 6);
    CHECK(stats.failed == 3);
    CHECK(stats.cancelled == 0);
    CHECK(stats.timed_out == 0);
    CHECK(stats.retried == 0);
    CHECK(stats.waiting_time >= 0ns);
    CHECK(stats.running_time > 0ns);
}

TEST_CASE_TEMPLATE("stats tell what waits, what runs and what was cancelled", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    CHECK(pool.stats().pending == 0);
    pool.post(TaskGate::pass, gate.path(), 'a');
    gate.arrival();
    auto one = pool.submit(twice, 1);
    auto two = pool.submit(twice, 2);
    one.cancel();
    auto stats = pool.stats();
    CHECK(stats.running == 1);
    CHECK(stats.pending == 1);
    CHECK(stats.cancelled == 1);
    CHECK(stats.completed == 0);
    std::this_thread::sleep_for(2ms);  // To be found in both times; how much more is not said.
    gate.open();
    pool.wait_idle();

    stats = pool.stats();
    CHECK(stats.running == 0);
    CHECK(stats.pending == 0);
    CHECK(stats.cancelled == 1);
    CHECK(stats.completed == 2);
    CHECK(stats.running_time >= 2ms);
    CHECK(stats.waiting_time >= 2ms);
}
