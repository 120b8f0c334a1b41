// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// CPython's test_concurrent_futures/test_shutdown.py over each kind of pool, and what other
// libraries' tests ask of shutdown. The names in brackets are the cases' names there.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "conformance/executors.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace conformance_shutdown_test {

namespace {

using namespace muster::conformance;
using muster::Future;
using muster::test::Program;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int triple(int x) { return 3 * x; }
void fail() { throw std::domain_error("division by zero"); }
void say_apple() { muster::test::say("apple"); }
void say_apple_after(const std::string& path) {
    TaskGate::pass(path, 'a');
    say_apple();
}

std::vector<Future<int>> submit_triples(auto& pool, int count) {
    std::vector<Future<int>> futures;
    for (int i = 0; i < count; ++i) futures.push_back(pool.submit(triple, i));
    return futures;
}
// Whether they are done, with the right values.
bool are_triples(const std::vector<Future<int>>& futures) {
    for (std::size_t i = 0; i < futures.size(); ++i)
        if (!futures[i].done() || futures[i].result() != 3 * static_cast<int>(i)) return false;
    return true;
}

}  // namespace

TEST_CASE_TEMPLATE("after shutdown nothing can be submitted [test_run_after_shutdown]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    pool.shutdown();

    CHECK_THROWS_AS((void)pool.submit(triple, 2), muster::ShutdownError);
}

// --- ends of programs, which are told the kind of pool

TEST_CASE("program: main returns while a task runs" * doctest::skip()) {
    ::dup2(STDOUT_FILENO, STDERR_FILENO);  // Nothing is to be said there either.
    with_kind(muster::test::argument_of_program(), [](auto kind) {
        using Kind = decltype(kind);
        static typename Kind::Pool pool(Kind::options());
        static TaskGate gate;
        (void)pool.submit(say_apple_after, gate.path());
        gate.arrival();
        std::atexit([] { gate.open(); });  // Before the pool waits: it was registered later.
    });
}

TEST_CASE("program: submits at exit" * doctest::skip()) {
    ::dup2(STDOUT_FILENO, STDERR_FILENO);
    with_kind(muster::test::argument_of_program(), [](auto kind) {
        using Kind = decltype(kind);
        static typename Kind::Pool pool(Kind::options());
        static const auto submit = [](const char* when) {
            try {
                muster::test::say(when + std::to_string(pool.submit(triple, 2).result()));
            } catch (const muster::ShutdownError&) {
                muster::test::say(when + std::string("refused"));
            }
        };
        (void)pool.submit(triple, 1).result();
        std::atexit([] { submit("after shutdown "); });
        std::atexit([] { pool.shutdown(); });
        std::atexit([] { submit("before shutdown "); });
    });
}

TEST_CASE("program: shutdown without waiting" * doctest::skip()) {
    with_kind(muster::test::argument_of_program(), [](auto kind) {
        using Kind = decltype(kind);
        typename Kind::Pool pool(Kind::options());
        TaskGate gate;
        (void)pool.submit(say_apple_after, gate.path());
        gate.arrival();
        pool.shutdown({.wait = false});
    });
}

TEST_CASE("program: shutdown that cancels without waiting" * doctest::skip()) {
    with_kind(muster::test::argument_of_program(), [](auto kind) {
        using Kind = decltype(kind);
        typename Kind::Pool pool(Kind::options());
        (void)pool.submit(say_apple);
        pool.shutdown({.wait = false, .cancel_futures = true});
    });
}

TEST_CASE("a program whose main returns lets its running task end [test_interpreter_shutdown]") {
    for (const std::string kind : {"threads", "processes"}) {
        CAPTURE(kind);
        Program program = Program::test_case("main returns while a task runs", kind);
        CHECK(program.rest() == "apple\n");
        CHECK(program.exit_code() == 0);
    }
}

TEST_CASE(
    "an exit handler may submit until the pool is shut down "
    "[test_submit_after_interpreter_shutdown]") {
    // Adapted: a static pool accepts tasks until it is shut down or destroyed.
    for (const std::string kind : {"threads", "processes"}) {
        CAPTURE(kind);
        Program program = Program::test_case("submits at exit", kind);
        CHECK(program.rest() == "before shutdown 6\nafter shutdown refused\n");
        CHECK(program.exit_code() == 0);
    }
}

TEST_CASE("a program that shuts down without waiting ends when its task has [test_hang_gh83386]") {
    for (const std::string kind : {"threads", "processes"}) {
        CAPTURE(kind);
        Program program = Program::test_case("shutdown without waiting", kind);
        CHECK(program.rest() == "apple\n");
        CHECK(program.exit_code() == 0);
    }
}

TEST_CASE(
    "a program that cancels without waiting runs its task or does not "
    "[test_cancel_futures_wait_false]") {
    for (const std::string kind : {"threads", "processes"}) {
        CAPTURE(kind);
        Program program = Program::test_case("shutdown that cancels without waiting", kind);
        const std::string output = program.rest();
        CHECK((output == "apple\n" || output.empty()));
        CHECK(program.exit_code() == 0);
    }
}

// ---

TEST_CASE_TEMPLATE("shutdown lets all tasks end [test_hang_issue12364]", Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    const auto futures = submit_triples(pool, 50);

    pool.shutdown();

    CHECK(are_triples(futures));
}

TEST_CASE_TEMPLATE("shutdown cancels what has not begun, if asked to [test_cancel_futures]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    std::vector<Future<char>> futures;
    for (int i = 0; i < 2; ++i) futures.push_back(pool.submit(TaskGate::pass, gate.path(), 'a'));
    for (int i = 0; i < 2; ++i) gate.arrival();
    for (int i = 2; i < 50; ++i) futures.push_back(pool.submit(TaskGate::pass, gate.path(), 'b'));

    // Adapted: all that has not begun, where Python says 20 of 50 at least.
    std::thread opener([&] {
        for (std::size_t i = 2; i < futures.size(); ++i) futures[i].wait();
        gate.open();
    });
    pool.shutdown({.cancel_futures = true});
    opener.join();

    for (std::size_t i = 0; i < futures.size(); ++i) {
        REQUIRE(futures[i].done());
        CHECK(futures[i].cancelled() == (i >= 2));
    }
    CHECK(futures[0].exception() == nullptr);
    CHECK(futures[1].exception() == nullptr);
}

TEST_CASE_TEMPLATE("shutdown ends though a task was cancelled right before [test_hang_gh94440]",
                   Kind, EVERY_KIND) {
    for (int i = 0; i < 5; ++i) {
        typename Kind::Pool pool(Kind::options(1));
        pool.submit(triple, 1).wait();
        auto future = pool.submit(triple, 2);
        const bool cancelled = future.cancel();

        pool.shutdown();

        CHECK(future.done());
        CHECK(future.cancelled() == cancelled);
    }
}

TEST_CASE_TEMPLATE(
    "a pool at the end of its scope has run its tasks "
    "[test_context_manager_shutdown, test_del_shutdown]",
    Kind, EVERY_KIND) {
    std::vector<Future<int>> futures;
    std::vector<int> mapped;
    {
        typename Kind::Pool pool(Kind::options());
        futures = submit_triples(pool, 10);
        for (const int x : pool.map(triple, std::vector{1, 2, 3})) mapped.push_back(x);
    }
    CHECK(are_triples(futures));
    CHECK(mapped == std::vector{3, 6, 9});
}

TEST_CASE_TEMPLATE(
    "results may be asked for after shutdown without waiting "
    "[test_shutdown_no_wait]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options());
    auto results = pool.map({.buffersize = 10}, triple, std::vector{1, 2, 3});
    std::vector<int> pids;
    if constexpr (std::is_same_v<Kind, Processes>) {
        pool.submit(triple, 1).wait();
        pids = pool.stats().pids;
        CHECK_FALSE(pids.empty());
    }
    pool.shutdown({.wait = false});

    std::vector<int> given;
    for (const int result : results) given.push_back(result);
    CHECK(given == std::vector{3, 6, 9});
    for (const int pid : pids) CHECK(muster::test::ends(pid));  // By themselves: the pool is here.
}

TEST_CASE(
    "after shutdown there are no worker processes [test_processes_terminate, "
    "mpire test_defunct_processes_exit]") {
    Processes::Pool pool(Processes::options(5));
    TaskGate gate;
    std::vector<Future<char>> futures;
    for (int i = 0; i < 3; ++i) futures.push_back(pool.submit(TaskGate::pass, gate.path(), 'a'));
    for (int i = 0; i < 3; ++i) gate.arrival();
    const std::vector<int> pids = pool.stats().pids;
    CHECK(pids.size() == 3);  // Adapted: also with fork, which starts no worker beforehand.

    gate.open();
    pool.shutdown();

    for (const int pid : pids) CHECK(muster::test::ends(pid));
    const auto children = muster::test::children_of();  // No zombie either.
    for (const int pid : pids)
        CHECK(std::find(children.begin(), children.end(), pid) == children.end());
}

TEST_CASE(
    "a pool that is dropped leaves no worker [loky test_processes_terminate_on_executor_gc]") {
    std::vector<int> pids;
    {
        Processes::Pool pool(Processes::options(2));
        TaskGate gate;
        std::vector<Future<char>> futures;
        for (int i = 0; i < 2; ++i)
            futures.push_back(pool.submit(TaskGate::pass, gate.path(), 'a'));
        for (int i = 0; i < 2; ++i) gate.arrival();
        pids = pool.stats().pids;
    }
    CHECK(pids.size() == 2);
    for (const int pid : pids) CHECK(muster::test::ends(pid));
}

TEST_CASE("program: ends by SIGKILL" * doctest::skip()) {
    Processes::Pool pool(Processes::options(2));
    for (const int x : pool.map(triple, std::vector<int>(100, 1))) (void)x;
    std::string pids;
    for (const int pid : pool.stats().pids) pids += std::to_string(pid) + " ";
    muster::test::say(pids);
    ::raise(SIGKILL);
}

TEST_CASE(
    "no worker outlives a program that is killed "
    "[loky test_sigkill_shutdown_leaks_workers]") {
    Program program = Program::test_case("ends by SIGKILL");
    const std::vector<::pid_t> pids = program.pids();
    CHECK_FALSE(pids.empty());
    CHECK(program.exit_code() == -SIGKILL);
    for (const ::pid_t pid : pids) CHECK(muster::test::ends(pid));
}

TEST_CASE(
    "shutdown without waiting lets failing tasks end while workers are replaced "
    "[test_shutdown_gh_132969_case_1, test_shutdown_gh_132969_case_2]") {
    for (const std::size_t workers : {2u, 4u}) {
        auto options = Processes::options(workers);
        options.max_tasks_per_child = 1;
        Processes::Pool pool(std::move(options));
        auto before = pool.submit(triple, 1);
        auto failed = pool.submit(fail);
        auto after = pool.submit(triple, 2);
        pool.shutdown({.wait = false});

        REQUIRE(failed.wait_for(200s));
        CHECK_THROWS_AS(failed.result(), std::domain_error);
        REQUIRE(after.wait_for(200s));
        CHECK(before.result() == 3);
        CHECK(after.result() == 6);
    }
}

// --- loky and deadpool

TEST_CASE_TEMPLATE(
    "what is submitted during shutdown runs or is refused "
    "[loky test_submit_during_shutdown_race]",
    Kind, EVERY_KIND) {
    for (int round = 0; round < 5; ++round) {
        typename Kind::Pool pool(Kind::options(2));
        std::vector<Future<int>> accepted;
        std::atomic<int> count{0};
        std::thread submitter([&] {
            try {
                for (int i = 0;; ++i) {
                    accepted.push_back(pool.submit(triple, i));
                    ++count;
                }
            } catch (const muster::ShutdownError&) {
            }
        });
        while (count < 3) std::this_thread::yield();
        pool.shutdown();
        submitter.join();

        CHECK(accepted.size() >= 3);
        CHECK(are_triples(accepted));
    }
}

TEST_CASE_TEMPLATE(
    "shutdown may be called again and from several threads [deadpool "
    "test_shutdown: wait, cancel_futures, idempotent]",
    Kind, EVERY_KIND) {
    for (const bool wait : {false, true}) {
        for (const bool cancel : {false, true}) {
            CAPTURE(wait);
            CAPTURE(cancel);
            typename Kind::Pool pool(Kind::options(1));
            TaskGate gate;
            auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
            auto pending = pool.submit(triple, 1);
            gate.arrival();

            pool.shutdown({.wait = false, .cancel_futures = cancel});
            std::thread other([&] { pool.shutdown({.wait = wait, .cancel_futures = cancel}); });
            CHECK_FALSE(running.done());
            gate.open();
            other.join();
            pool.shutdown({.wait = wait});
            pool.shutdown();

            CHECK(running.result() == 'a');
            REQUIRE(pending.done());
            CHECK(pending.cancelled() == cancel);
        }
    }
}

}  // namespace conformance_shutdown_test
