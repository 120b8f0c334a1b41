// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Cases of pebble, loky and deadpool that Python's own pools have nothing of: time limits, killing,
// workers within workers. The names in brackets are the cases' names there.
#include <muster/exception.hpp>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "support/event.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace conformance_test {

struct GoodException : std::runtime_error {
    GoodException() : std::runtime_error("") {}
    GoodException(const std::string& what, int n) : std::runtime_error(what), number{n} {}

    template <typename Archive>
    void serialize(Archive& ar) {
        ar(number);
    }
    int number = 0;
};

}  // namespace conformance_test
MUSTER_EXCEPTION(conformance_test::GoodException)

namespace conformance_pebble_test {

namespace {

using namespace muster::conformance;
using conformance_test::GoodException;
using muster::Future;
using muster::ProcessPoolExecutor;
using muster::test::Event;
using muster::test::TaskGate;
using namespace std::chrono_literals;

constexpr auto patience = 60s;  // Only so that a hang is a failure with a name.

int own_pid() { return static_cast<int>(::getpid()); }
int triple(int x) { return 3 * x; }
std::string doubled(const std::string& text) { return text + text; }
std::size_t stay_with(const std::string& path, const std::string& text) {
    TaskGate::pass(path, 'a');
    return text.size();
}
char ignore_sigterm(const std::string& path) {
    ::signal(SIGTERM, SIG_IGN);
    return TaskGate::pass(path, 'a');
}
int kill_self_at_two(int x) {
    if (x == 2) ::raise(SIGKILL);
    return 3 * x;
}

// Not declared with MUSTER_EXCEPTION, and it could not be: a pointer means nothing elsewhere.
struct BadException : std::exception {
    const char* what() const noexcept override { return "cannot be sent"; }
    const int* pointer = nullptr;
};
void throw_bad_exception() { throw BadException(); }
void throw_good_exception() { throw GoodException("can be sent", 7); }

// Has a pool of its own, whose worker's process id it tells.
template <typename Kind>
int inner_pid() {
    typename Kind::Pool inner(Kind::options(1));
    return inner.submit(own_pid).result();
}
template <typename Kind>
void stay_with_inner(const std::string& path, const std::string& answer) {
    typename Kind::Pool inner(Kind::options(1));
    const int pid = inner.submit(own_pid).result();
    std::FILE* file = std::fopen(answer.c_str(), "w");
    std::fprintf(file, "%d", pid);
    std::fclose(file);
    inner.submit(TaskGate::pass, path, 'i').wait();
}

}  // namespace

// --- pebble, test_process_pool_*.py

TEST_CASE(
    "a task past its time is ended, and its worker replaced "
    "[pebble test_process_pool_timeout, test_process_pool_timeout_callback, "
    "test_process_pool_stop_timeout, mpire task_timeout]") {
    ProcessPoolExecutor pool(Processes::options(1));
    const int worker = pool.submit(own_pid).result();
    TaskGate gate;
    const Event called;

    auto late = pool.submit({.timeout = 100ms}, TaskGate::pass, gate.path(), 'a');
    late.add_done_callback([called](const auto&) { called.set(); });

    REQUIRE(late.wait_for(patience));
    CHECK_THROWS_AS((void)late.result(), muster::TaskTimeout);
    CHECK(called.wait_for(patience));
    CHECK(pool.submit(own_pid).result() != worker);
    CHECK(muster::test::ends(worker));
}

TEST_CASE(
    "a running task may be ended, and the next has another worker "
    "[pebble test_process_pool_cancel, test_process_pool_different_process, "
    "test_process_pool_stop_cancel, deadpool test_cancel_and_kill]") {
    ProcessPoolExecutor pool(Processes::options(1));
    const int worker = pool.submit(own_pid).result();
    TaskGate gate;
    auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
    auto pending = pool.submit(own_pid);
    gate.arrival();
    CHECK_FALSE(running.cancel());

    CHECK(running.kill());

    REQUIRE(running.wait_for(patience));
    CHECK_THROWS_AS((void)running.result(), muster::CancelledError);
    CHECK(pending.result() != worker);
    CHECK(muster::test::ends(worker));
    CHECK_FALSE(pending.kill());  // It has a result.
}

TEST_CASE("a task on a thread cannot be ended [pebble ThreadPool]") {
    muster::ThreadPoolExecutor pool(1);
    TaskGate gate;
    auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
    gate.arrival();

    CHECK_FALSE(running.kill());

    gate.open();
    CHECK(running.result() == 'a');
}

TEST_CASE(
    "a task that ignores SIGTERM is ended all the same "
    "[pebble test_pool_ignoring_sigterm]") {
    ProcessPoolExecutor pool(Processes::options(1));
    TaskGate gate;
    auto late = pool.submit({.timeout = 2s}, ignore_sigterm, gate.path());
    REQUIRE(late.wait_for(patience));
    CHECK_THROWS_AS((void)late.result(), muster::TaskTimeout);

    auto killed = pool.submit(ignore_sigterm, gate.path());
    while (!killed.running() && !killed.done()) std::this_thread::yield();
    CHECK(killed.kill());
    REQUIRE(killed.wait_for(patience));
    CHECK(killed.cancelled());
    CHECK(pool.submit(triple, 1).result() == 3);

    auto terminated = pool.submit(ignore_sigterm, gate.path());
    while (!terminated.running() && !terminated.done()) std::this_thread::yield();
    pool.terminate_workers();
    REQUIRE(terminated.wait_for(patience));
    CHECK_THROWS_AS((void)terminated.result(), muster::WorkerCrashed);
}

TEST_CASE_TEMPLATE(
    "wait_idle_for says that tasks still run [pebble test_process_pool_join_"
    "futures_timeout, join_running]",
    Kind, EVERY_KIND) {
    // Adapted: waiting before the pool is shut down is no error.
    typename Kind::Pool pool(Kind::options(1));
    TaskGate gate;
    auto running = pool.submit(TaskGate::pass, gate.path(), 'a');

    CHECK_FALSE(pool.wait_idle_for(50ms));
    gate.open();
    CHECK(pool.wait_idle_for(patience));
    CHECK(running.done());
}

TEST_CASE("large arguments and results arrive [pebble test_process_pool_large_data]") {
    ProcessPoolExecutor pool(Processes::options(1));
    const std::string large(20'000'000, 'a');

    const std::string result = pool.submit(doubled, large).result();

    CHECK(result.size() == 2 * large.size());
    CHECK(result.find_first_not_of('a') == std::string::npos);
}

TEST_CASE(
    "a pool may be ended by force while large arguments are on their way "
    "[pebble test_pool_stop_large_data, test_pool_cancel_large_data]") {
    const std::string large(5'000'000, 'a');
    for (const bool cancel : {false, true}) {
        CAPTURE(cancel);
        ProcessPoolExecutor pool(Processes::options(1));
        TaskGate gate;
        std::vector<Future<std::size_t>> futures;
        for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(stay_with, gate.path(), large));
        gate.arrival();
        if (cancel)
            for (auto& future : futures) future.cancel();

        pool.kill_workers();

        for (const auto& future : futures) {
            REQUIRE(future.wait_for(patience));
            CHECK_THROWS_AS((void)future.result(), muster::Error);
        }
        CHECK(std::count_if(futures.begin(), futures.end(),
                            [](auto& future) { return future.cancelled(); }) == (cancel ? 9 : 0));
        pool.shutdown();
    }
}

TEST_CASE(
    "a crash in a map costs its element "
    "[pebble test_process_pool_expired_worker, mpire test_kill_map]") {
    ProcessPoolExecutor pool(Processes::options(1));
    std::vector<int> given;
    for (const std::size_t chunksize : {1u, 5u}) {
        CAPTURE(chunksize);
        given.clear();
        auto results =
            pool.map({.chunksize = chunksize}, kill_self_at_two, std::vector{0, 1, 2, 3, 4});
        try {
            for (const int result : results) given.push_back(result);
            FAIL("nothing was thrown");
        } catch (const muster::WorkerCrashed& crash) {
            CHECK(crash.signal() == SIGKILL);
            CHECK(crash.pid() > 0);
        }
        CHECK(given == std::vector{0, 3});
    }
}

TEST_CASE(
    "an exception that cannot be sent arrives as its name and words [pebble exception_isolated, "
    "mpi4py BadPickle, deadpool test_bad_exception]") {
    ProcessPoolExecutor pool(Processes::options(1));
    const int worker = pool.submit(own_pid).result();
    try {
        pool.submit(throw_bad_exception).result();
        FAIL("nothing was thrown");
    } catch (const muster::RemoteError& error) {
        CHECK(error.type_name().find("BadException") != std::string::npos);
        CHECK(std::string(error.what()) == "cannot be sent");
    }
    CHECK(pool.submit(own_pid).result() == worker);
}

TEST_CASE("an exception that was declared arrives as what it is [mpi4py GoodPickle]") {
    ProcessPoolExecutor pool(Processes::options(1));
    try {
        pool.submit(throw_good_exception).result();
        FAIL("nothing was thrown");
    } catch (const GoodException& error) {
        CHECK(error.number == 7);
        CHECK(std::string(error.what()) == "can be sent");
    }
}

// --- workers within workers

TEST_CASE(
    "a worker may have a pool of its own [loky test_no_deadlock_on_nested_reusable, "
    "pebble test_process_pool_pool_in_worker]") {
    ProcessPoolExecutor pool(Processes::options(1));
    const int worker = pool.submit(own_pid).result();

    const int inner = pool.submit(inner_pid<Processes>).result();

    CHECK(inner != worker);
    CHECK(inner != own_pid());
    CHECK(muster::test::ends(inner));
}

TEST_CASE("a task may start a process and wait for it [pebble test_process_pool_child_process]") {
    ProcessPoolExecutor pool(Processes::options(1));

    const int status = pool.submit([] {
                               const ::pid_t child = ::fork();
                               if (child == 0) ::_exit(5);
                               int ended = -1;
                               ::waitpid(child, &ended, 0);
                               return WEXITSTATUS(ended);
                           })
                           .result();

    CHECK(status == 5);
}

TEST_CASE_TEMPLATE("a worker may have a pool of the other kind [pebble pools in workers]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));

    CHECK(pool.submit(inner_pid<Threads>).result() == pool.submit(own_pid).result());
    CHECK(muster::test::ends(pool.submit(inner_pid<Processes>).result()));
}

TEST_CASE(
    "who ends a worker ends the workers that it has "
    "[loky test_kill_process_tree, deadpool test_sub_sub_process]") {
    ProcessPoolExecutor pool(Processes::options(1));
    TaskGate gate;
    const std::string answer = gate.path() + "/answer";
    auto running = pool.submit(stay_with_inner<Processes>, gate.path(), answer);
    CHECK(gate.arrival() == 'i');
    int inner = 0;
    std::FILE* const file = std::fopen(answer.c_str(), "r");
    REQUIRE(file);
    REQUIRE(std::fscanf(file, "%d", &inner) == 1);
    std::fclose(file);
    ::unlink(answer.c_str());

    CHECK(running.kill());

    CHECK(muster::test::ends(inner));
}

TEST_CASE(
    "a pool is of no use in a copy of the process "
    "[deadpool: inherited future is invalid in child]") {
    ProcessPoolExecutor pool(Processes::options(1));
    const int worker = pool.submit(own_pid).result();
    TaskGate gate;
    auto pending = pool.submit(TaskGate::pass, gate.path(), 'a');
    std::fflush(nullptr);
    const ::pid_t copy = ::fork();
    if (copy == 0) {
        ::alarm(30);
        int code = 1;
        try {
            (void)pool.submit(own_pid);
        } catch (const muster::InvalidStateError&) {
            code = 2;
        } catch (...) {
        }
        try {
            (void)pending.result();
        } catch (const muster::InvalidStateError&) {
            code -= 2;
        } catch (...) {
        }
        ::_exit(code);
    }
    int status = -1;
    ::waitpid(copy, &status, 0);

    CHECK(status == 0);
    gate.open();
    CHECK(pending.result() == 'a');
    CHECK(pool.submit(own_pid).result() == worker);
}

}  // namespace conformance_pebble_test
