// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// CPython's test_concurrent_futures/test_deadlock.py, and loky's cases of crashes: whatever goes
// wrong at whatever stage, each future gets its error, and the pool goes on. The names in brackets
// are the cases' names there.
#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "process/bomb.hpp"
#include "support/task_gate.hpp"

namespace conformance_deadlock_test {

namespace {

using namespace muster::conformance;
using muster::Future;
using muster::ProcessPoolExecutor;
using muster::test::Bomb;
using muster::test::carry;
using muster::test::Stage;
using muster::test::TaskGate;
using muster::test::Way;
using namespace std::chrono_literals;

constexpr auto patience = 60s;  // Only so that a hang is a failure with a name.

int own_pid() { return static_cast<int>(::getpid()); }
int triple(int x) { return 3 * x; }
int size_and_leave(const std::string& text) {
    ::_exit(static_cast<int>(text.size() % 100));
    return 0;
}
std::size_t size_of(const std::string& text) { return text.size(); }
Bomb carry_later(const std::string& path, const Bomb& bomb) {
    TaskGate::pass(path, 'a');
    return carry(bomb);
}
void kill_process(int pid) { ::kill(pid, SIGKILL); }
void kill_self_together(const std::string& path) {
    TaskGate::pass(path, 'a');
    ::raise(SIGKILL);
}

// What the WorkerCrashed of a future says; empty if it has something else.
template <typename T>
std::string crash_of(const Future<T>& future) {
    if (!future.wait_for(patience)) return "hangs";
    try {
        (void)future.result();
    } catch (const muster::WorkerCrashed& crash) {
        return crash.what();
    } catch (...) {
    }
    return "";
}

bool contains(const std::string& text, const std::string& words) {
    return text.find(words) != std::string::npos;
}

// Goes off when the last owner of the charge is destroyed in a worker.
struct Grenade {
    Grenade() = default;
    explicit Grenade(Way how) : armed{true}, way{how} {}
    Grenade(Grenade&& other) noexcept : armed{std::exchange(other.armed, false)}, way{other.way} {}
    Grenade& operator=(Grenade&& other) noexcept {
        armed = std::exchange(other.armed, false);
        way = other.way;
        return *this;
    }
    ~Grenade() {
        if (armed && muster::in_worker()) muster::test::go_off(way);
    }
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(armed, way);
    }

    bool armed = false;
    Way way = Way::exit;
};

}  // namespace

TEST_CASE("what cannot be encoded is thrown by submit [test_error_at_task_pickle]") {
    // Adapted: at once, where Python's future has it later.
    ProcessPoolExecutor pool(Processes::options(2));

    CHECK_THROWS_AS((void)pool.submit(carry, Bomb{Stage::encode_task, Way::exception}),
                    std::out_of_range);

    CHECK(pool.submit(triple, 2).result() == 6);
}

TEST_CASE(
    "a worker's end at any stage costs one future, which says why "
    "[test_exit_at_task_unpickle, test_crash_at_task_unpickle, "
    "test_crash_during_func_exec_on_worker, test_exit_during_func_exec_on_worker, "
    "test_crash_during_result_pickle_on_worker, "
    "test_exit_during_result_pickle_on_worker, loky crash_cases]") {
    // Adapted: in Python all futures get it and the pool is broken; exit is an exception there.
    ProcessPoolExecutor pool(Processes::options(2));
    const std::vector<std::pair<Way, std::string>> ways{{Way::exit, "exit code 7"},
                                                        {Way::end_at_once, "exit code 7"},
                                                        {Way::segv, "SIGSEGV"},
                                                        {Way::kill, "SIGKILL"}};
    for (const Stage stage : {Stage::decode_task, Stage::run, Stage::encode_result}) {
        for (const auto& each : ways) {
            const Way way = each.first;
            const std::string& words = each.second;
            CAPTURE(static_cast<int>(stage));
            CAPTURE(words);
            auto before = pool.submit(triple, 1);
            auto lost = pool.submit(carry, Bomb{stage, way});
            auto after = pool.submit(triple, 2);

            const std::string message = crash_of(lost);
            CHECK_MESSAGE(contains(message, words), message);
            REQUIRE(after.wait_for(patience));
            CHECK(before.result() == 3);
            CHECK(after.result() == 6);
        }
    }
    pool.wait_idle();
    CHECK(pool.stats().crashed == 12);
}

TEST_CASE(
    "an exception at any stage costs one future and no worker [test_error_at_task_unpickle, "
    "test_error_during_func_exec_on_worker, test_error_during_result_pickle_on_worker, "
    "test_error_during_result_unpickle_in_result_handler, test_pickle_errors_propagate, mpi4py "
    "BadUnpickle]") {
    // Adapted: in Python the second and the last one break the pool.
    ProcessPoolExecutor pool(Processes::options(1));
    const int worker = pool.submit(own_pid).result();
    for (const Stage stage :
         {Stage::decode_task, Stage::run, Stage::encode_result, Stage::decode_result}) {
        CAPTURE(static_cast<int>(stage));
        auto future = pool.submit(carry, Bomb{stage, Way::exception});
        REQUIRE(future.wait_for(patience));
        CHECK_THROWS_WITH_AS((void)future.result(), "the bomb went off", std::out_of_range);
    }
    CHECK(pool.submit(own_pid).result() == worker);
}

TEST_CASE("a worker may crash after shutdown [test_shutdown_deadlock]") {
    ProcessPoolExecutor pool(Processes::options(2));
    TaskGate gate;
    auto lost = pool.submit(carry_later, gate.path(), Bomb{Stage::run, Way::segv});
    auto other = pool.submit(triple, 2);
    gate.arrival();
    pool.shutdown({.wait = false});

    gate.open();
    pool.shutdown();

    CHECK(contains(crash_of(lost), "SIGSEGV"));
    CHECK(other.result() == 6);
}

TEST_CASE(
    "what cannot be encoded after shutdown is an error like any other "
    "[test_shutdown_deadlock_pickle]") {
    // Adapted: a result, as arguments are encoded by submit.
    ProcessPoolExecutor pool(Processes::options(2));
    TaskGate gate;
    auto failed = pool.submit(carry_later, gate.path(), Bomb{Stage::encode_result, Way::exception});
    gate.arrival();
    pool.shutdown({.wait = false});

    gate.open();
    pool.shutdown();

    REQUIRE(failed.done());
    CHECK_THROWS_AS((void)failed.result(), std::out_of_range);
}

TEST_CASE(
    "a worker may end while it is sent more than a pipe holds "
    "[test_crash_big_data, loky test_no_failure_on_large_data_send]") {
    ProcessPoolExecutor pool(Processes::options(1));
    const std::string large(20'000'000, 'a');
    std::vector<Future<int>> lost;
    for (int i = 0; i < 3; ++i) {
        lost.push_back(pool.submit(size_and_leave, large));
        lost.push_back(
            pool.submit(carry, Bomb{Stage::decode_task, Way::kill}).then([](const Bomb&) {
                return 0;
            }));
    }
    auto survivor = pool.submit(size_of, large);

    for (const auto& future : lost) CHECK(contains(crash_of(future), "muster"));
    REQUIRE(survivor.wait_for(patience));
    CHECK(survivor.result() == large.size());
}

TEST_CASE(
    "many submits while no worker takes anything all run "
    "[test_gh105829_should_not_deadlock_if_wakeup_pipe_full, "
    "loky test_queue_full_deadlock]") {
    ProcessPoolExecutor pool(Processes::options(1));
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    gate.arrival();
    std::vector<Future<int>> futures;
    for (int i = 0; i < 5000; ++i) futures.push_back(pool.submit(triple, i));
    CHECK_FALSE(first.done());

    gate.open();

    for (int i = 0; i < 5000; ++i) {
        REQUIRE(futures[static_cast<std::size_t>(i)].wait_for(patience));
        REQUIRE(futures[static_cast<std::size_t>(i)].result() == 3 * i);
    }
}

// --- loky, test_reusable_executor.py and _executor_mixin.py

TEST_CASE(
    "a callback may submit what crashes, and what follows a crash "
    "[loky test_in_callback_submit_with_crash, test_submit_from_callback]") {
    ProcessPoolExecutor pool(Processes::options(2));
    std::optional<Future<Bomb>> second;
    std::optional<Future<int>> third;
    pool.submit(carry, Bomb{Stage::run, Way::kill}).add_done_callback([&](const auto&) {
        second = pool.submit(carry, Bomb{Stage::run, Way::exit});
        third = pool.submit(triple, 3);
    });
    pool.wait_idle();

    REQUIRE(second);
    CHECK(contains(crash_of(*second), "exit code 7"));
    CHECK(third->result() == 9);
}

TEST_CASE(
    "what a callback's submit throws is the callback's error "
    "[loky test_callback_crash_on_submit]") {
    std::mutex mutex;
    std::vector<std::string> errors;
    auto options = Processes::options(2);
    options.on_error = [&](std::exception_ptr error) {
        const std::lock_guard held(mutex);
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& thrown) {
            errors.push_back(thrown.what());
        }
    };
    ProcessPoolExecutor pool(std::move(options));

    auto future = pool.submit(triple, 1);
    future.add_done_callback([&](const auto&) {
        (void)pool.submit(carry, Bomb{Stage::encode_task, Way::exception});
    });
    future.wait();
    pool.submit(triple, 1).add_done_callback([&](const auto&) {
        (void)pool.submit(carry, Bomb{Stage::encode_task, Way::exception});
    });
    pool.wait_idle();

    CHECK(pool.submit(triple, 2).result() == 6);
    // One added when the task was done ran here, and its error is reported all the same.
    CHECK(errors == std::vector<std::string>{"the bomb went off", "the bomb went off"});
}

TEST_CASE("a worker may be killed by the task of another [loky test_deadlock_kill]") {
    ProcessPoolExecutor pool(Processes::options(2));
    TaskGate gate;
    auto victim = pool.submit(
        [](const std::string& path) {
            TaskGate::pass(path, 'a');
            return 1;
        },
        gate.path());
    gate.arrival();

    pool.submit(kill_process, pool.stats().pids.at(0)).wait();

    CHECK(contains(crash_of(victim), "SIGKILL"));
    CHECK(pool.submit(triple, 2).result() == 6);
}

TEST_CASE("all workers may crash at once [loky test_crash_races]") {
    for (const std::size_t workers : {1u, 2u, 5u, 13u}) {
        CAPTURE(workers);
        ProcessPoolExecutor pool(Processes::options(workers));
        TaskGate gate;
        std::vector<Future<void>> lost;
        for (std::size_t i = 0; i < workers; ++i)
            lost.push_back(pool.submit(kill_self_together, gate.path()));
        for (std::size_t i = 0; i < workers; ++i) gate.arrival();

        gate.open();

        for (const auto& future : lost) CHECK(contains(crash_of(future), "SIGKILL"));
        CHECK(pool.submit(triple, 2).result() == 6);
    }
}

TEST_CASE(
    "a crash in an argument's destructor costs the task "
    "[loky test_call_item_gc_crash_or_exit]") {
    // Arguments are destroyed before the future is done.
    ProcessPoolExecutor pool(Processes::options(1));
    for (const auto& [way, words] :
         {std::pair{Way::exit, "exit code 7"}, std::pair{Way::segv, "SIGSEGV"}}) {
        auto lost = pool.submit([](const Grenade&) { return 1; }, Grenade(way));
        const std::string message = crash_of(lost);
        CHECK_MESSAGE(contains(message, words), message);
        CHECK(pool.submit(triple, 2).result() == 6);
    }
}

}  // namespace conformance_deadlock_test
