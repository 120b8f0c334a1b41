// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// map, as every executor has them.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <list>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/asleep.hpp"
#include "support/counting.hpp"
#include "support/executors.hpp"
#include "support/task_gate.hpp"

namespace executor_map_test {

namespace {

using muster::test::Counting;
using muster::test::patience;
using muster::test::TaskGate;
using muster::test::with_workers;
using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }
int fails_at_two(int x) {
    if (x == 2) throw std::out_of_range("element 2");
    return 10 * x;
}
char visit(const std::string& path, char letter) {  // Stays only with element 'a'.
    return letter == 'a' ? TaskGate::pass(path, letter) : TaskGate::arrive(path, letter);
}

std::vector<int> numbers(int count) {
    std::vector<int> all(static_cast<std::size_t>(count));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

template <typename Results>
auto collect(Results&& results) {
    std::vector<std::ranges::range_value_t<Results>> all;
    for (auto&& result : results) all.push_back(std::move(result));
    return all;
}

}  // namespace

TEST_CASE_TEMPLATE("map gives the results in the order of the input", E, EVERY_EXECUTOR) {
    E pool;
    const std::vector<int> input = numbers(500);
    std::vector<int> expected;
    for (const int x : input) expected.push_back(2 * x);

    CHECK(collect(pool.map(twice, input)) == expected);
    for (const std::size_t chunksize : {1u, 2u, 3u, 7u, 500u, 1000u}) {
        CAPTURE(chunksize);
        CHECK(collect(pool.map({.chunksize = chunksize}, twice, input)) == expected);
        CHECK(collect(pool.map({.chunksize = chunksize, .buffersize = 4}, twice, input)) ==
              expected);
    }
    for (const std::size_t buffersize : {1u, 2u, 500u, 1000u}) {
        CAPTURE(buffersize);
        CHECK(collect(pool.map({.buffersize = buffersize}, twice, input)) == expected);
    }
}

TEST_CASE_TEMPLATE("map takes an element of each range until one ends", E, EVERY_EXECUTOR) {
    E pool;
    const std::vector<int> numbers_of{1, 2, 3};
    const std::list<std::string> texts{"a", "b", "c", "d"};
    const auto repeat = [](int n, const std::string& text) {
        std::string all;
        for (int i = 0; i < n; ++i) all += text;
        return all;
    };

    CHECK(collect(pool.map(repeat, numbers_of, texts)) ==
          std::vector<std::string>{"a", "bb", "ccc"});
    CHECK(collect(pool.map([](int x, int y, int z) { return x + y + z; }, std::vector{1, 2},
                           Counting{}, std::vector{10, 20, 30})) == std::vector{11, 23});
}

TEST_CASE_TEMPLATE("map of an empty range is empty", E, EVERY_EXECUTOR) {
    E pool;

    CHECK(collect(pool.map(twice, std::vector<int>{})).empty());
    CHECK(collect(pool.map({.chunksize = 5}, twice, std::vector<int>{})).empty());
    CHECK(collect(pool.map([](int x, int) { return x; }, Counting{}, std::vector<int>{})).empty());
}

TEST_CASE_TEMPLATE("map takes from an endless range as it goes", E, EVERY_EXECUTOR) {
    E pool;
    for (const std::size_t chunksize : {0u, 1u, 5u}) {
        CAPTURE(chunksize);
        auto results = pool.map({.chunksize = chunksize}, twice, Counting{});
        int expected = 0;
        for (const int result : results) {
            REQUIRE(result == expected);
            expected += 2;
            if (expected == 200) break;
        }
    }
}

TEST_CASE_TEMPLATE("map takes exactly buffersize elements before the first result is asked for", E,
                   EVERY_EXECUTOR) {
    E pool = with_workers<E>(2);
    for (const int buffersize : {1, 2, 5, 50}) {
        CAPTURE(buffersize);
        Counting input;
        auto results = pool.map({.buffersize = static_cast<std::size_t>(buffersize)}, twice, input);
        CHECK(input.pulled == buffersize);

        int given = 0;
        for (const int result : results) {
            CHECK(result == 2 * given);
            CHECK(input.pulled <= ++given + buffersize);
            if (given == 60) break;
        }
    }
}

TEST_CASE_TEMPLATE("map with larger chunks takes no more than buffersize ahead", E,
                   EVERY_EXECUTOR) {
    E pool = with_workers<E>(2);
    for (const int buffersize : {1, 3, 10}) {
        for (const std::size_t chunksize : {2u, 3u, 100u}) {
            CAPTURE(buffersize);
            CAPTURE(chunksize);
            Counting input;
            auto results = pool.map(
                {.chunksize = chunksize, .buffersize = static_cast<std::size_t>(buffersize)}, twice,
                input);
            CHECK(input.pulled <= buffersize);

            int given = 0;
            for (const int result : results) {
                CHECK(result == 2 * given);
                CHECK(input.pulled <= ++given + buffersize);
                if (given == 30) break;
            }
        }
    }
}

TEST_CASE_TEMPLATE("map without buffersize bounds what it takes ahead by the workers", E,
                   EVERY_EXECUTOR) {
    E pool = with_workers<E>(2);
    Counting input;

    auto results = pool.map({.chunksize = 1}, twice, input);

    CHECK(input.pulled >= 1);
    CHECK(input.pulled <= 100 * static_cast<int>(pool.max_workers()));

    Counting measured;  // Tasks of several elements take no more ahead than was asked for before.
    int given = 0;
    for (const int result : pool.map(twice, measured)) {
        CHECK(result == 2 * given);
        CHECK(measured.pulled <= 2 * ++given + 100 * static_cast<int>(pool.max_workers()));
        if (given == 1'000) break;
    }
}

TEST_CASE_TEMPLATE("map refuses a buffersize of 0", E, EVERY_EXECUTOR) {
    E pool;
    CHECK_THROWS_AS((void)pool.map({.buffersize = 0}, twice, numbers(3)), std::invalid_argument);
}

TEST_CASE_TEMPLATE("map runs without being gone through", E, EVERY_EXECUTOR) {
    E pool;
    TaskGate gate;
    const std::vector<std::string> paths(4, gate.path());

    auto results = pool.map(TaskGate::arrive, paths, std::string("abcd"));
    pool.wait_idle();

    std::string seen = gate.arrived();
    std::sort(seen.begin(), seen.end());
    CHECK(seen == "abcd");
}

TEST_CASE_TEMPLATE("an exception in map is thrown when its element is reached, and ends it", E,
                   EVERY_EXECUTOR) {
    E pool;
    for (const std::size_t chunksize : {0u, 1u, 2u, 10u}) {
        CAPTURE(chunksize);
        std::vector<int> seen;
        auto results = pool.map({.chunksize = chunksize}, fails_at_two, numbers(20));
        auto place = results.begin();
        seen.push_back(*place);
        seen.push_back(*++place);

        CHECK_THROWS_WITH_AS(++place, "element 2", std::out_of_range);

        CHECK(seen == std::vector{0, 10});
        CHECK(place == results.end());
    }
}

TEST_CASE_TEMPLATE("an exception of the first element in map is thrown by begin", E,
                   EVERY_EXECUTOR) {
    E pool;
    auto results = pool.map(fails_at_two, std::vector{2, 3});

    CHECK_THROWS_AS((void)results.begin(), std::out_of_range);
    CHECK(results.begin() == results.end());
}

TEST_CASE_TEMPLATE("an exception in map cancels what has not begun", E, EVERY_POOL) {
    E pool(1);
    TaskGate gate;
    const auto fails_then_stays = [](const std::string& path, char letter) {
        TaskGate::arrive(path, letter);
        if (letter == 'a') throw std::out_of_range("a");
        if (letter == 'b') TaskGate::wait(path);
    };
    const std::vector<std::string> paths(4, gate.path());
    {
        auto results = pool.map({.chunksize = 1, .buffersize = 4}, fails_then_stays, paths,
                                std::string("abcd"));
        CHECK(gate.arrival() == 'a');
        CHECK(gate.arrival() == 'b');
        CHECK_THROWS_AS((void)results.begin(), std::out_of_range);
        gate.open();
        pool.wait_idle();
        CHECK(gate.arrived() == "");
        CHECK(pool.stats().cancelled == 2);
    }
}

TEST_CASE_TEMPLATE("dropping the results of map cancels what has not begun, without waiting", E,
                   EVERY_POOL) {
    for (const std::size_t chunksize : {1u, 4u}) {
        CAPTURE(chunksize);
        E pool(1);
        TaskGate gate;
        {
            const std::vector<std::string> paths(8, gate.path());
            auto results = pool.map({.chunksize = chunksize, .buffersize = 8}, visit, paths,
                                    std::string("abcdefgh"));
            CHECK(gate.arrival() == 'a');
        }
        CHECK(pool.stats().running == 1);  // It was not waited for.
        gate.open();
        pool.wait_idle();

        CHECK(gate.arrived() == "");
    }
}

TEST_CASE_TEMPLATE("map gives up when its time is over", E, EVERY_POOL) {
    for (const std::size_t chunksize : {0u, 1u, 2u}) {
        CAPTURE(chunksize);
        E pool(1);
        TaskGate gate;
        const std::vector<std::string> paths(4, gate.path());
        auto results =
            pool.map({.chunksize = chunksize, .timeout = 5ms}, visit, paths, std::string("abcd"));

        CHECK_THROWS_AS((void)results.begin(), muster::TimeoutError);

        CHECK(results.begin() == results.end());
        gate.open();
        pool.wait_idle();
        // What the one worker had begun when it was cancelled, if there was a worker by then.
        CHECK(gate.arrived().size() <= 1);
    }
}

TEST_CASE_TEMPLATE("map waits for room in the pool no longer than its time", E, EVERY_POOL) {
    for (const std::size_t chunksize : {0u, 1u, 2u}) {
        for (const std::size_t max_pending : {1u, 2u}) {
            CAPTURE(chunksize);
            CAPTURE(max_pending);
            E pool({.max_workers = 1, .max_pending = max_pending});
            muster::ThreadPoolExecutor caller(1);
            TaskGate gate;
            pool.post(TaskGate::pass, gate.path(), 'x');
            CHECK(gate.arrival() == 'x');

            auto late = caller.submit([&pool, chunksize] {
                const std::vector<int> input = numbers(5);
                auto results = pool.map({.chunksize = chunksize, .timeout = 5ms}, twice, input);
                try {
                    (void)results.begin();
                    return false;
                } catch (const muster::TimeoutError&) {
                    return results.begin() == results.end();
                }
            });

            REQUIRE(late.wait_for(patience));
            CHECK(late.result());
        }
    }
}

TEST_CASE_TEMPLATE("map within its time gives all results", E, EVERY_EXECUTOR) {
    E pool;
    CHECK(collect(pool.map({.timeout = 1h}, twice, std::vector{1, 2, 3})) == std::vector{2, 4, 6});
}

TEST_CASE_TEMPLATE("the results of what map submitted before a shutdown are still there", E,
                   EVERY_EXECUTOR) {
    auto executor = with_workers<E>(2);
    std::vector<int> input(1000);
    std::iota(input.begin(), input.end(), 0);
    auto results = executor.map({.chunksize = 3, .buffersize = 20}, twice, input);
    executor.shutdown();
    int next = 0;
    const auto go_on = [&] {
        for (const int result : results) CHECK(result == twice(next++));
    };
    CHECK_THROWS_AS(go_on(), muster::ShutdownError);
    CHECK(next >= 18);  // Whole chunks.
    CHECK(next <= 20);
}

TEST_CASE_TEMPLATE("the results of map may be gone through when the executor is no more", E,
                   EVERY_EXECUTOR) {
    const std::vector<int> input{1, 2, 3};
    auto executor = std::make_unique<E>();
    auto results = executor->map(twice, input);
    executor.reset();
    std::vector<int> all;
    for (const int result : results) all.push_back(result);
    CHECK(all == std::vector<int>{2, 4, 6});
}

TEST_CASE_TEMPLATE("map after shutdown throws", E, EVERY_EXECUTOR) {
    E pool;
    pool.shutdown();
    CHECK_THROWS_AS((void)pool.map(twice, numbers(3)), muster::ShutdownError);
}

TEST_CASE_TEMPLATE("the results of map may be moved while they are gone through", E,
                   EVERY_EXECUTOR) {
    E pool;
    auto results = pool.map(twice, numbers(20));
    auto place = results.begin();
    ++place;

    auto moved = std::move(results);

    CHECK(*place == 2);
    CHECK(*++place == 4);
    CHECK(place != moved.end());
}

TEST_CASE_TEMPLATE("map hands a StopToken to those who want one", E, EVERY_EXECUTOR) {
    E pool;
    const auto wants_token = [](muster::StopToken stop, int x) {
        return stop.stop_requested() ? -1 : x;
    };
    CHECK(collect(pool.map(wants_token, std::vector{1, 2, 3})) == std::vector{1, 2, 3});
}

TEST_CASE_TEMPLATE("map of a function without result counts its elements", E, EVERY_EXECUTOR) {
    E pool;
    CHECK(collect(pool.map([](int) {}, numbers(7))).size() == 7);
}

}  // namespace executor_map_test
