// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// for_each, as every executor has it.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <list>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/asleep.hpp"
#include "support/counting.hpp"
#include "support/executors.hpp"
#include "support/task_gate.hpp"

namespace executor_for_each_test {

namespace {

using muster::ThreadPoolExecutor;
using muster::test::Counting;
using muster::test::patience;
using muster::test::ProcessPool;
using muster::test::soon;
using muster::test::TaskGate;
using muster::test::with_workers;
using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }

std::vector<int> numbers(int count) {
    std::vector<int> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

/// The path of a gate, and what to tell it.
using Visit = std::pair<std::string, char>;

void fails_at_a(const Visit& visit) {
    TaskGate::pass(visit.first, visit.second);
    if (visit.second == 'a') throw std::out_of_range("a");
}
void fails_at_a_with_token(muster::StopToken, const Visit& visit) { fails_at_a(visit); }

// What it returns can neither be copied nor go to another process.
std::ostream& arrive_and_stream(const std::string& path) {
    TaskGate::arrive(path, 'x');
    return std::cout;
}

}  // namespace

TEST_CASE_TEMPLATE("for_each drops what the callable returns, whatever it is", E, EVERY_EXECUTOR) {
    E pool;
    TaskGate gate;
    pool.for_each(arrive_and_stream, std::vector<std::string>(3, gate.path()));
    pool.for_each(arrive_and_stream, std::list<std::string>(2, gate.path()));
    pool.for_each([](muster::StopToken,
                     const std::string& path) -> std::ostream& { return arrive_and_stream(path); },
                  std::vector<std::string>(1, gate.path()));
    CHECK(gate.arrived() == "xxxxxx");
}

TEST_CASE_TEMPLATE("for_each visits every element and waits", E, EVERY_EXECUTOR) {
    E pool;
    TaskGate gate;
    const std::vector<std::string> paths(5, gate.path());
    const auto visits = [](const std::string& path) { TaskGate::arrive(path, 'x'); };

    pool.for_each(visits, paths);
    CHECK(gate.arrived() == "xxxxx");

    pool.for_each(visits, std::list<std::string>(paths.begin(), paths.end()));
    CHECK(gate.arrived() == "xxxxx");

    pool.for_each(visits, std::vector<std::string>{});
    CHECK(gate.arrived() == "");
}

TEST_CASE_TEMPLATE("for_each takes plain functions, const callables and endings in between", E,
                   EVERY_EXECUTOR) {
    E pool;
    pool.for_each(twice, std::vector{1, 2, 3});
    pool.for_each(&twice, std::list{1, 2, 3});
    pool.for_each(twice, std::list{1, 2, 3});
    pool.for_each(twice, Counting{.size = 10});
    pool.for_each([](bool) {}, std::vector<bool>{true, false});  // Its elements are no objects.
    pool.for_each([](muster::StopToken, const int& x) { return twice(x); }, std::vector{1, 2, 3});
    CHECK(pool.stats().failed == 0);
}

TEST_CASE_TEMPLATE("for_each throws the first exception in the order of the input", E,
                   EVERY_EXECUTOR) {
    E pool = with_workers<E>(4);
    const auto fails_from_thirty = [](int x) {
        if (x >= 30) throw std::out_of_range(std::to_string(x));
    };
    for (int i = 0; i < 20; ++i) {
        const std::vector<int> input = numbers(200);
        CHECK_THROWS_WITH_AS(pool.for_each(fails_from_thirty, input), "30", std::out_of_range);
        const std::list<int> list(input.begin(), input.end());
        CHECK_THROWS_WITH_AS(pool.for_each(fails_from_thirty, list), "30", std::out_of_range);
    }
}

TEST_CASE_TEMPLATE("for_each after shutdown throws", E, EVERY_EXECUTOR) {
    E pool;
    pool.shutdown();
    CHECK_THROWS_AS(pool.for_each(twice, numbers(3)), muster::ShutdownError);
}

TEST_CASE_TEMPLATE("for_each cannot change elements that are no objects", E, EVERY_EXECUTOR) {
    E pool;
    std::vector<bool> flags(8);

    pool.for_each([](auto flag) { flag = !flag; }, flags);

    CHECK(std::count(flags.begin(), flags.end(), true) == 0);
}

TEST_CASE_TEMPLATE("for_each throws only when what had begun has ended", E, EVERY_POOL) {
    const auto check = [](auto fn, auto make_range) {
        E pool(2);
        ThreadPoolExecutor caller(1);
        TaskGate first, second;
        const auto range = make_range(Visit{first.path(), 'a'}, Visit{second.path(), 'b'});
        auto loop = caller.submit([&pool, fn, range] { pool.for_each(fn, range); });
        CHECK(first.arrival() == 'a');
        CHECK(second.arrival() == 'b');

        first.open();
        CHECK_FALSE(loop.wait_for(20ms));

        second.open();
        CHECK_THROWS_WITH_AS(loop.result(), "a", std::out_of_range);
    };
    const auto make_vector = [](auto... visits) { return std::vector<Visit>{visits...}; };
    const auto make_list = [](auto... visits) { return std::list<Visit>{visits...}; };
    check(&fails_at_a, make_vector);
    check(&fails_at_a, make_list);
    check(&fails_at_a_with_token, make_vector);
    check(&fails_at_a_with_token, make_list);
}

TEST_CASE_TEMPLATE("for_each that throws leaves out what has not begun", E, EVERY_POOL) {
    E pool(1);
    ThreadPoolExecutor caller(1);
    TaskGate first, second;
    const std::list<Visit> visits{
        {first.path(), 'a'}, {second.path(), 'b'}, {second.path(), 'c'}, {second.path(), 'd'}};
    auto loop = caller.submit([&pool, visits] { pool.for_each(fails_at_a, visits); });
    CHECK(first.arrival() == 'a');
    first.open();
    REQUIRE(soon([&] { return pool.stats().cancelled >= 2; }));

    second.open();

    CHECK_THROWS_WITH_AS(loop.result(), "a", std::out_of_range);
    pool.wait_idle();
    CHECK(second.arrived().size() + pool.stats().cancelled == 3);  // The worker may have begun one.
}

TEST_CASE("for_each that throws leaves out what a worker had taken and not begun") {
    ThreadPoolExecutor pool(2);
    std::atomic<int> begun{0};
    const auto fails_at_zero = [&](int x) {
        ++begun;
        if (x == 0) {
            (void)soon([&] { return begun == 2; });
            throw std::out_of_range("0");
        }
        (void)soon([&] { return pool.stats().completed == 1; });  // Who met zero takes no more.
    };

    CHECK_THROWS_WITH_AS(pool.for_each(fails_at_zero, numbers(1000)), "0", std::out_of_range);

    CHECK(begun == 2);
}

TEST_CASE("for_each that waits for what has begun ends with the workers") {
    ProcessPool pool(2);
    ThreadPoolExecutor caller(1);
    TaskGate first, second;
    const std::list<Visit> visits{{first.path(), 'a'}, {second.path(), 'b'}};
    auto loop = caller.submit([&pool, visits] { pool.for_each(fails_at_a, visits); });
    CHECK(first.arrival() == 'a');
    CHECK(second.arrival() == 'b');
    first.open();
    CHECK(soon([&] { return pool.stats().failed == 1; }));
    CHECK_FALSE(loop.wait_for(20ms));

    pool.kill_workers();

    REQUIRE(loop.wait_for(patience));
    CHECK_THROWS_WITH_AS(loop.result(), "a", std::out_of_range);
}

}  // namespace executor_for_each_test
