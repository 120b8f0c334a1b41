// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// CPython's test_concurrent_futures/test_wait.py and test_as_completed.py. The names in brackets
// are the cases' names there. Those that need workers run over each kind of pool.
#include <muster/promise.hpp>
#include <muster/wait.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "support/event.hpp"
#include "support/futures.hpp"
#include "support/task_gate.hpp"

namespace conformance_wait_test {

namespace {

using namespace muster::conformance;
using muster::Future;
using muster::Promise;
using muster::ReturnWhen;
using muster::test::cancelled;
using muster::test::Event;
using muster::test::failed;
using muster::test::ready;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int multiply(int x, int y) { return x * y; }
int wait_and_fail(const std::string& path) {
    TaskGate::pass(path, 'a');
    throw std::domain_error("this is an exception");
}
int wait_and_multiply(const std::string& path, int x, int y) {
    TaskGate::pass(path, 'a');
    return x * y;
}

// CPython's six fixed futures. A cancelled future is one thing here: there is nobody who has not
// been told yet.
struct Fixed {
    Promise<int> pending_promise;
    Promise<int> running_promise = muster::test::running_promise<int>();
    Future<int> pending = pending_promise.get_future();
    Future<int> running = running_promise.get_future();
    Future<int> cancelled = muster::test::cancelled<int>();
    Future<int> exception =
        failed<int>(std::system_error(std::make_error_code(std::errc::io_error)));
    Future<int> successful = ready(42);
};

using Futures = std::vector<Future<int>>;

bool same(Futures some, const Futures& others) {
    return some.size() == others.size() &&
           std::is_permutation(some.begin(), some.end(), others.begin());
}

// What as_completed gives until it ends or its time is up.
struct Completed {
    Futures futures = {};
    std::optional<std::string> error = {};
};
Completed completed(const Futures& futures, std::chrono::nanoseconds timeout) {
    Completed found;
    try {
        for (const auto& future : muster::as_completed(futures, timeout))
            found.futures.push_back(future);
    } catch (const muster::TimeoutError& error) {
        found.error = error.what();
    }
    return found;
}

}  // namespace

TEST_CASE_TEMPLATE("wait gives a future once that was given often [test_20369]", Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    const auto future = pool.submit(multiply, 1, 2);

    const auto [done, not_done] = muster::wait(Futures{future, future});

    CHECK(done == Futures{future});
    CHECK(not_done.empty());
}

TEST_CASE_TEMPLATE("wait returns when the first is done [test_first_completed]", Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    const auto quick = pool.submit(multiply, 21, 2);
    const auto slow = pool.submit(wait_and_multiply, gate.path(), 1, 2);
    const Fixed fixed;

    // Adapted: without Python's cancelled future of which nobody was told; it is done here.
    const auto [done, not_done] =
        muster::wait(Futures{fixed.pending, quick, slow}, ReturnWhen::first_completed);

    CHECK(done == Futures{quick});
    CHECK(not_done == Futures{fixed.pending, slow});
}

TEST_CASE_TEMPLATE(
    "wait returns at once with what is done already "
    "[test_first_completed_some_already_completed]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    const auto slow = pool.submit(wait_and_multiply, gate.path(), 1, 2);
    const Fixed fixed;

    const auto [done, not_done] =
        muster::wait(Futures{fixed.cancelled, fixed.pending, fixed.successful, slow},
                     ReturnWhen::first_completed);

    CHECK(same(done, {fixed.cancelled, fixed.successful}));
    CHECK(same(not_done, {fixed.pending, slow}));
}

TEST_CASE_TEMPLATE("wait returns when the first has failed [test_first_exception]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    TaskGate never;
    const auto quick = pool.submit(multiply, 2, 21);
    const auto failing = pool.submit(wait_and_fail, gate.path());
    const auto slow = pool.submit(wait_and_multiply, never.path(), 6, 7);
    quick.wait();
    gate.arrival();
    CHECK(muster::wait(Futures{quick, failing, slow}, ReturnWhen::first_exception, 1ms)
              .not_done.size() == 2);
    gate.open();

    const auto [done, not_done] =
        muster::wait(Futures{quick, failing, slow}, ReturnWhen::first_exception);

    CHECK(done == Futures{quick, failing});
    CHECK(not_done == Futures{slow});
}

TEST_CASE_TEMPLATE("a cancelled future has not failed [test_first_exception_some_already_complete]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    TaskGate never;
    const auto failing = pool.submit(wait_and_fail, gate.path());
    const auto slow = pool.submit(wait_and_multiply, never.path(), 21, 2);
    const Fixed fixed;
    const Futures all{fixed.successful, fixed.cancelled, failing, slow};
    gate.arrival();
    CHECK(muster::wait(all, ReturnWhen::first_exception, 1ms).done.size() == 2);
    gate.open();

    const auto [done, not_done] = muster::wait(all, ReturnWhen::first_exception);

    CHECK(same(done, {fixed.successful, fixed.cancelled, failing}));
    CHECK(not_done == Futures{slow});
}

TEST_CASE_TEMPLATE(
    "wait returns at once when one has failed already "
    "[test_first_exception_one_already_failed]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));
    TaskGate gate;
    const auto slow = pool.submit(wait_and_multiply, gate.path(), 1, 2);
    const Fixed fixed;

    const auto [done, not_done] =
        muster::wait(Futures{fixed.exception, slow}, ReturnWhen::first_exception);

    CHECK(done == Futures{fixed.exception});
    CHECK(not_done == Futures{slow});
}

TEST_CASE_TEMPLATE("wait returns when all are done, in whatever way [test_all_completed]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    const auto failing = pool.submit(wait_and_fail, gate.path());
    const auto quick = pool.submit(multiply, 2, 21);
    const Fixed fixed;
    gate.open();

    const Futures all{fixed.cancelled, fixed.exception, fixed.successful, failing, quick};
    const auto [done, not_done] = muster::wait(all, ReturnWhen::all_completed);

    CHECK(done == all);
    CHECK(not_done.empty());
}

TEST_CASE_TEMPLATE("wait says what is done when its time is up [test_timeout]", Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    const auto quick = pool.submit(multiply, 6, 7);
    const auto slow = pool.submit(wait_and_multiply, gate.path(), 1, 2);
    const Fixed fixed;
    quick.wait();

    const auto [done, not_done] =
        muster::wait(Futures{fixed.cancelled, fixed.exception, fixed.successful, quick, slow},
                     ReturnWhen::all_completed, 50ms);

    CHECK(done == Futures{fixed.cancelled, fixed.exception, fixed.successful, quick});
    CHECK(not_done == Futures{slow});
}

TEST_CASE("many that get done together wake who waits for all [test_pending_calls_race]") {
    muster::ThreadPoolExecutor pool(20);
    for (int round = 0; round < 20; ++round) {
        const Event event;
        Futures futures;
        for (int i = 0; i < 100; ++i)
            futures.push_back(pool.submit([event] {
                event.wait();
                return 1;
            }));
        event.set();
        CHECK(muster::wait(futures, ReturnWhen::all_completed).done.size() == 100);
    }
}

// --- test_as_completed.py

TEST_CASE_TEMPLATE("as_completed gives all [test_no_timeout]", Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    const auto first = pool.submit(multiply, 2, 21);
    const auto second = pool.submit(multiply, 7, 6);
    const Fixed fixed;
    const Futures all{fixed.cancelled, fixed.exception, fixed.successful, first, second};

    Futures given;
    for (const auto& future : muster::as_completed(all)) given.push_back(future);

    CHECK(same(given, all));
}

TEST_CASE_TEMPLATE("as_completed gives what is done until its time is up [test_future_times_out]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));
    TaskGate gate;
    const auto slow = pool.submit(wait_and_multiply, gate.path(), 1, 2);
    const Fixed fixed;
    const Futures ready_ones{fixed.cancelled, fixed.exception, fixed.successful};
    Futures all = ready_ones;
    all.push_back(slow);
    for (const auto timeout : {0ms, 100ms}) {
        const Completed found = completed(all, timeout);

        CHECK(same(found.futures, ready_ones));
        CHECK(found.error);
    }
}

TEST_CASE_TEMPLATE("as_completed gives a future once that was given often [test_duplicate_futures]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));
    const auto future = pool.submit(multiply, 2, 3);

    CHECK(completed(Futures(3, future), 1h).futures == Futures{future});
}

TEST_CASE(
    "as_completed keeps nothing of the future it has given "
    "[test_free_reference_yielded_future]") {
    std::vector<Future<std::shared_ptr<int>>> futures;
    std::vector<std::weak_ptr<int>> values;
    for (int i = 0; i < 8; ++i) {
        auto value = std::make_shared<int>(i);
        values.emplace_back(value);
        futures.push_back(ready(std::move(value)));
    }
    const auto alive = [&] {
        return std::count_if(values.begin(), values.end(), [](auto& v) { return !v.expired(); });
    };
    std::ptrdiff_t left = 8;
    for ([[maybe_unused]] const auto& future : muster::as_completed(std::move(futures), 0s)) {
        futures.clear();
        CHECK(alive() == left--);  // This one, and those that are still to come.
    }
    CHECK(left == 0);
    CHECK(alive() == 0);
}

TEST_CASE(
    "as_completed says how many were left when its time was up "
    "[test_correct_timeout_exception_msg]") {
    const Fixed fixed;

    const Completed found =
        completed({fixed.cancelled, fixed.pending, fixed.running, fixed.successful}, 0s);

    REQUIRE(found.error);
    CHECK(found.error->find("2 (of 4) futures unfinished") != std::string::npos);
}

}  // namespace conformance_wait_test
