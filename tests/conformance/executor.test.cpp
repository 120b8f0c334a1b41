// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// CPython's test_concurrent_futures/executor.py (ExecutorTest), test_init.py, and what other files
// there ask of map, over each kind of pool. The names in brackets are the cases' names there.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "support/task_gate.hpp"

namespace conformance_executor_test {

namespace {

using namespace muster::conformance;
using muster::test::TaskGate;
using namespace std::chrono_literals;

long power(long base, long exponent) {
    return exponent == 0 ? 1 : base * power(base, exponent - 1);
}
int quotient(int dividend, int divisor) {
    if (divisor == 0) throw std::domain_error("division by zero");
    return dividend / divisor;
}
int successor(int x) { return x + 1; }
int sum(int x, int y) { return x + y; }
char pass_only_c(const std::string& path, char letter) {  // The others do not stay.
    return letter == 'c' ? TaskGate::pass(path, letter) : letter;
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

// itertools.count(), which knows how much of it was taken.
class Counter {
  public:
    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using value_type = int;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        explicit iterator(Counter& counter) : counter_{&counter} { ++counter.taken; }
        int operator*() const { return counter_->taken - 1; }
        iterator& operator++() {
            ++counter_->taken;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator&, std::default_sentinel_t) { return false; }

      private:
        Counter* counter_ = nullptr;
    };

    iterator begin() { return iterator(*this); }
    static std::default_sentinel_t end() { return {}; }

    int taken = 0;
};

// Knows how many of it there are in this process.
struct Counted {
    Counted() { ++alive; }
    Counted(const Counted&) { ++alive; }
    Counted& operator=(const Counted&) = default;
    ~Counted() { --alive; }

    template <typename Archive>
    void serialize(Archive& ar) {
        ar(content);
    }
    static int count() { return alive; }

    std::string content = "something";
    inline static std::atomic<int> alive{0};
};
void drop(const Counted&) {}

// What the initializer sets; in each worker process, and once in this one for the thread pools.
std::atomic<int> initialized{-1};
void initialize(int value) { initialized = value; }
int initial_value() { return initialized; }
void fail_to_initialize() { throw std::runtime_error("error in initializer"); }

}  // namespace

TEST_CASE_TEMPLATE("submit gives the future of the call [test_submit, test_apply, test_async]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());

    CHECK(pool.submit(power, 2, 8).result() == 256);
}

TEST_CASE_TEMPLATE(
    "options come before the callable and are no arguments of it "
    "[test_submit_keyword]",
    Kind, EVERY_KIND) {
    // Adapted: C++ has no arguments by name. That a callable is missing does not compile.
    typename Kind::Pool pool(Kind::options());

    CHECK(pool.submit({.name = "two to the eighth"}, power, 2, 8).result() == 256);
}

TEST_CASE_TEMPLATE(
    "map gives what calling one after the other gives [test_map, test_starmap, test_imap]", Kind,
    EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    const std::vector<int> tens = numbers(10);
    std::vector<long> expected;
    for (const int x : tens) expected.push_back(power(x, x));

    CHECK(collect(pool.map(power, tens, tens)) == expected);
    CHECK(collect(pool.map({.chunksize = 3}, power, tens, tens)) == expected);
}

TEST_CASE_TEMPLATE("map gives the results before the one that failed [test_map_exception]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());

    auto results = pool.map(quotient, std::vector{1, 2, 3, 4}, std::vector{1, 1, 0, 1});
    auto next = results.begin();
    CHECK(*next == 1);
    CHECK(*++next == 2);

    CHECK_THROWS_WITH_AS(++next, "division by zero", std::domain_error);
    CHECK(next == results.end());  // As in Python, where a generator ends with its exception.
}

TEST_CASE_TEMPLATE("map gives what came before its time was up [test_map_timeout]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    pool.submit(power, 2, 8).wait();  // Starting a worker takes nothing of the time.
    const TaskGate gate;
    const std::vector<std::string> paths(3, gate.path());
    std::string given;

    auto results = pool.map({.timeout = 5s}, pass_only_c, paths, std::string("abc"));

    CHECK_THROWS_AS(
        [&] {
            for (const char letter : results) given += letter;
        }(),
        muster::TimeoutError);
    CHECK(given == "ab");
}

TEST_CASE_TEMPLATE("map refuses a buffer of nothing [test_map_buffersize_value_validation]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());

    CHECK_THROWS_AS((void)pool.map({.buffersize = 0}, successor, numbers(4)),
                    std::invalid_argument);
}

TEST_CASE_TEMPLATE("any buffersize gives all results in order [test_map_buffersize]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    const std::vector<int> input = numbers(4);
    for (const std::size_t buffersize : {1u, 2u, 4u, 8u}) {
        CAPTURE(buffersize);
        CHECK(collect(pool.map({.buffersize = buffersize}, successor, input)) ==
              std::vector{1, 2, 3, 4});
    }
}

TEST_CASE_TEMPLATE(
    "any buffersize gives all results of two ranges "
    "[test_map_buffersize_on_multiple_iterables]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    const std::vector<int> input = numbers(4);
    for (const std::size_t buffersize : {1u, 2u, 4u, 8u}) {
        CAPTURE(buffersize);
        CHECK(collect(pool.map({.buffersize = buffersize}, sum, input, input)) ==
              std::vector{0, 2, 4, 6});
    }
}

TEST_CASE_TEMPLATE(
    "map with a buffersize takes from an endless range "
    "[test_map_buffersize_on_infinite_iterable]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());

    auto results = pool.map({.buffersize = 4}, successor, Counter{});

    auto next = results.begin();
    CHECK(*next == 1);
    CHECK(*++next == 2);
    CHECK(*++next == 3);
}

TEST_CASE_TEMPLATE(
    "map with a buffersize takes from endless ranges "
    "[test_map_buffersize_on_multiple_infinite_iterables]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());

    auto results = pool.map({.buffersize = 4}, sum, Counter{}, Counter{});

    auto next = results.begin();
    CHECK(*next == 0);
    CHECK(*++next == 2);
    CHECK(*++next == 4);
}

TEST_CASE_TEMPLATE(
    "map with a buffersize of nothing is empty "
    "[test_map_buffersize_on_empty_iterable]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());

    auto results = pool.map({.buffersize = 4}, successor, std::vector<int>{});

    CHECK(results.begin() == results.end());
}

TEST_CASE_TEMPLATE(
    "map takes exactly buffersize elements while nobody asks for results "
    "[test_map_buffersize_when_buffer_is_full]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    for (const int buffersize : {1, 2, 10}) {
        CAPTURE(buffersize);
        Counter counter;
        auto results =
            pool.map({.buffersize = static_cast<std::size_t>(buffersize)}, successor, counter);
        pool.wait_idle();
        CHECK(counter.taken == buffersize);
        auto next = results.begin();
        pool.wait_idle();
        CHECK(counter.taken == buffersize + 1);
        ++next;
        pool.wait_idle();
        CHECK(counter.taken == buffersize + 2);
    }
}

TEST_CASE_TEMPLATE("map runs though nobody goes through it [test_map_submits_without_iteration]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    const std::vector<std::string> paths(10, gate.path());

    // Adapted: all of it, when the buffer is as large; map is lazy.
    auto results = pool.map({.buffersize = 10}, TaskGate::arrive, paths, std::string(10, 'a'));
    pool.shutdown();

    CHECK(gate.arrived() == std::string(10, 'a'));
}

TEST_CASE_TEMPLATE(
    "a map whose time is up cancels the element it waited for, and the next "
    "[test_executor_map_current_future_cancel]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), '1');
    gate.arrival();
    const std::vector<std::string> paths(2, gate.path());

    auto results = pool.map({.timeout = 0s}, TaskGate::arrive, paths, std::string("23"));
    CHECK_THROWS_AS((void)results.begin(), muster::TimeoutError);

    gate.open();
    pool.wait_idle();
    CHECK(first.result() == '1');
    CHECK(gate.arrived().empty());
}

TEST_CASE_TEMPLATE(
    "shutdown runs a map that has more elements than workers "
    "[test_shutdown_race_issue12456]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());

    // Adapted: map is lazy, so it is told to take all of them before the pool refuses more.
    auto results = pool.map({.buffersize = 6}, successor, numbers(6));
    pool.shutdown();

    CHECK(collect(results) == std::vector{1, 2, 3, 4, 5, 6});
}

TEST_CASE_TEMPLATE(
    "a pool keeps nothing of a task that is done [test_no_stale_references, "
    "test_ressources_gced_in_workers, test_release_task_refs]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));
    REQUIRE(Counted::count() == 0);

    pool.submit(drop, Counted{}).wait();

    CHECK(Counted::count() == 0);                      // Here.
    CHECK(pool.submit(Counted::count).result() == 0);  // In the worker.
}

TEST_CASE_TEMPLATE(
    "the results of map keep no reference to what was taken out of them "
    "[test_free_reference]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    const auto make = [](int x) { return std::make_shared<int>(x); };
    int expected = 0;
    for (auto& result : pool.map(make, numbers(10))) {
        std::shared_ptr<int> object = std::move(result);
        REQUIRE(object);
        CHECK(*object == expected++);
        const std::weak_ptr<int> reference = object;
        object.reset();
        CHECK(reference.expired());
    }
    CHECK(expected == 10);
}

TEST_CASE_TEMPLATE("a pool of no workers is refused [test_max_workers_negative, test_make_pool]",
                   Kind, EVERY_KIND) {
    using Pool = typename Kind::Pool;

    CHECK_THROWS_AS(Pool(Kind::options(0)), std::invalid_argument);
    CHECK_THROWS_AS(Pool(0), std::invalid_argument);
    CHECK_THROWS_AS(Pool(-1), std::invalid_argument);
}

// --- test_init.py

TEST_CASE_TEMPLATE(
    "every task sees what the initializer did "
    "[InitializerMixin.test_initializer]",
    Kind, EVERY_KIND) {
    initialized = -1;
    auto options = Kind::options();
    options.initializer = {initialize, 42};
    typename Kind::Pool pool(std::move(options));
    std::vector<muster::Future<int>> seen;
    for (int i = 0; i < 10; ++i) seen.push_back(pool.submit(initial_value));

    for (const auto& value : seen) CHECK(value.result() == 42);
}

TEST_CASE_TEMPLATE(
    "an initializer that fails breaks the pool for good "
    "[FailingInitializerMixin.test_initializer, mpire worker_init with an error]",
    Kind, EVERY_KIND) {
    auto options = Kind::options();
    options.initializer = fail_to_initialize;
    typename Kind::Pool pool(std::move(options));

    // Adapted: futures hold the error, now and later; Python's later submits throw it.
    for (int i = 0; i < 3; ++i) {
        auto future = pool.submit(initial_value);
        REQUIRE(future.wait_for(200s));
        CHECK_THROWS_AS((void)future.result(), muster::BrokenExecutor);
        try {
            (void)future.result();
        } catch (const typename Kind::Broken& error) {
            // Adapted: the words are in the exception, where Python has a line in its log.
            CHECK(std::string(error.what()).find("error in initializer") != std::string::npos);
        }
    }
    pool.shutdown();
}

}  // namespace conformance_executor_test
