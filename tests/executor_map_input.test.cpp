// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What map does with its input.
#include <muster/inline_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/counting.hpp"
#include "support/executors.hpp"

namespace executor_map_input_test {

using muster::InlineExecutor;
using muster::ThreadPoolExecutor;
using muster::test::Counting;
using muster::test::ProcessPool;

/// Numbers whose owner is gone when nobody else can use them either.
class Owner {
  public:
    explicit Owner(std::shared_ptr<bool> alive) : alive_{std::move(alive)} {}
    Owner(Owner&&) = default;
    Owner& operator=(Owner&&) = delete;
    ~Owner() {
        if (alive_) *alive_ = false;
    }
    [[nodiscard]] auto begin() const { return numbers_.begin(); }
    [[nodiscard]] auto end() const { return numbers_.end(); }

  private:
    std::shared_ptr<bool> alive_;
    std::vector<int> numbers_{1, 2, 3, 4, 5, 6, 7, 8};
};

/// A result that refers to its input's owner to its end.
struct Result {
    std::shared_ptr<bool> owner_alive;
    std::shared_ptr<int> orphans;

    Result(std::shared_ptr<bool> alive, std::shared_ptr<int> count)
        : owner_alive{std::move(alive)}, orphans{std::move(count)} {}
    Result(Result&&) = default;
    Result& operator=(Result&&) = default;
    ~Result() {
        if (owner_alive && !*owner_alive) ++*orphans;
    }
};

TEST_CASE_TEMPLATE("an input that map keeps outlives the results that are not taken", E,
                   InlineExecutor, ThreadPoolExecutor) {
    for (const std::size_t chunksize : {1u, 3u}) {
        CAPTURE(chunksize);
        const auto alive = std::make_shared<bool>(true);
        const auto orphans = std::make_shared<int>(0);
        E executor;
        {
            auto results = executor.map(
                {.chunksize = chunksize, .buffersize = 6},
                [=](int) { return Result(alive, orphans); }, Owner(alive));
            (void)results.begin();
            executor.wait_idle();
        }
        CHECK_FALSE(*alive);
        CHECK(*orphans == 0);
    }
}

/// 0, 1, 2, 3, and then an error.
template <typename Error>
class FailsAtFour {
  public:
    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using value_type = int;
        using difference_type = std::ptrdiff_t;

        int operator*() const { return value_; }
        iterator& operator++() {
            if (++value_ == 4) throw Error("the input has ended");
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator&, std::default_sentinel_t) { return false; }

      private:
        int value_ = 0;
    };
    static iterator begin() { return {}; }
    static std::default_sentinel_t end() { return {}; }
};

TEST_CASE_TEMPLATE("what an input of map throws comes after the results of what was before", Error,
                   muster::ShutdownError, std::out_of_range) {
    const auto check = [](auto executor_type) {
        typename decltype(executor_type)::type executor;
        for (const std::size_t chunksize : {0u, 1u, 3u, 10u}) {
            for (const std::size_t buffersize : {1u, 3u, 10u}) {
                CAPTURE(chunksize);
                CAPTURE(buffersize);
                auto results = executor.map(
                    {.chunksize = chunksize, .buffersize = buffersize}, [](int x) { return x; },
                    FailsAtFour<Error>{});
                int next = 0;
                const auto go_on = [&] {
                    for (const int result : results) CHECK(result == next++);
                };
                CHECK_THROWS_AS(go_on(), Error);
                CHECK(next == 4);
                CHECK(results.begin() == results.end());
            }
        }
    };
    check(std::type_identity<InlineExecutor>{});
    check(std::type_identity<ThreadPoolExecutor>{});
    check(std::type_identity<ProcessPool>{});
}

TEST_CASE_TEMPLATE("after an element's exception map does not throw what its input threw", E,
                   EVERY_EXECUTOR) {
    E executor;
    const auto fails_at_two = [](int x) { return x == 2 ? throw std::domain_error("2") : x; };
    auto results = executor.map({.buffersize = 10}, fails_at_two, FailsAtFour<std::out_of_range>{});
    auto place = results.begin();
    ++place;

    CHECK_THROWS_AS(++place, std::domain_error);

    CHECK(results.begin() == results.end());
}

TEST_CASE_TEMPLATE("map of another map that fails gives the results before the failure", E,
                   EVERY_EXECUTOR) {
    ThreadPoolExecutor source(2);
    E executor;
    const std::vector<int> input{0, 1, 2, 3, 4, 5};
    const auto fails_at_three = [](int x) { return x == 3 ? throw std::out_of_range("3") : x; };
    int next = 0;
    const auto go_on = [&] {
        for (const int result :
             executor.map([](int x) { return x; }, source.map(fails_at_three, input)))
            CHECK(result == next++);
    };
    CHECK_THROWS_WITH_AS(go_on(), "3", std::out_of_range);
    CHECK(next == 3);
}

TEST_CASE_TEMPLATE("for_each throws what its input throws when all that was before has run", E,
                   EVERY_EXECUTOR) {
    E executor;
    CHECK_THROWS_AS(executor.for_each([](int) {}, FailsAtFour<std::out_of_range>{}),
                    std::out_of_range);
    executor.wait_idle();
    CHECK(executor.stats().completed > 0);
    CHECK(executor.stats().cancelled == 0);
}

TEST_CASE_TEMPLATE("a range is asked for no more than those before it have", E, InlineExecutor,
                   ThreadPoolExecutor) {
    E executor;
    Counting endless;
    int sum = 0;
    const auto add = [](int x, int y) { return x + y; };
    for (const int result : executor.map(add, std::vector{1, 2, 3}, endless)) sum += result;
    CHECK(sum == 9);
    CHECK(endless.pulled == 3);
}

TEST_CASE_TEMPLATE("map takes what can only be moved out of a range that it keeps", E,
                   InlineExecutor, ThreadPoolExecutor) {
    E executor;
    std::vector<std::unique_ptr<int>> pointers;
    for (int i = 1; i <= 3; ++i) pointers.push_back(std::make_unique<int>(i));
    const auto value = [](std::unique_ptr<int> pointer) { return *pointer; };
    int sum = 0;
    for (const int result : executor.map(value, std::move(pointers))) sum += result;
    CHECK(sum == 6);

    const auto twice = [](int x) { return std::make_unique<int>(2 * x); };
    for (const int result : executor.map(value, executor.map(twice, std::vector{5}))) sum += result;
    CHECK(sum == 16);
}

}  // namespace executor_map_input_test
