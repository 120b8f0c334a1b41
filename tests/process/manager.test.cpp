// SPDX-License-Identifier: MIT
// ctest: concurrency alone
// A program of its own: it stands in for functions of the C library.
// Workers that cannot take the place of others, and ends that cannot be watched for.
#include <muster/multiprocessing/event.hpp>
#include <muster/process_pool_executor.hpp>

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/asleep.hpp"
#include "support/attempts.hpp"
#include "support/process_gate.hpp"
#include "support/program.hpp"

namespace {

enum class Start { succeeds, is_refused, dies };

std::function<Start(int)> fate_of_start = [](int) { return Start::succeeds; };
std::atomic<int> starts{0};

std::atomic<bool> refuses_to_watch{false};  // More than one descriptor.
std::atomic<int> refusals{0};

}  // namespace

extern "C" int ppoll(::pollfd* watched, ::nfds_t count, const ::timespec* timeout,
                     const ::sigset_t* mask) {
    static const auto original = reinterpret_cast<decltype(&::ppoll)>(::dlsym(RTLD_NEXT, "ppoll"));
    if (count > 1 && refuses_to_watch) {
        ++refusals;
        errno = ENOMEM;
        return -1;
    }
    return original(watched, count, timeout, mask);
}

extern "C" int posix_spawn(::pid_t* pid, const char* path,
                           const ::posix_spawn_file_actions_t* actions,
                           const ::posix_spawnattr_t* attributes, char* const* arguments,
                           char* const* environment) {
    static const auto original =
        reinterpret_cast<decltype(&::posix_spawn)>(::dlsym(RTLD_NEXT, "posix_spawn"));
    const Start fate = fate_of_start(++starts);
    if (fate == Start::is_refused) return EAGAIN;
    return original(pid, fate == Start::dies ? "/bin/false" : path, actions, attributes, arguments,
                    environment);
}

namespace process_manager_test {

namespace {

using muster::multiprocessing::Event;
using muster::test::ProcessGate;
using muster::test::soon;
using namespace std::chrono_literals;

constexpr std::chrono::milliseconds patience(muster::test::patience_ms);

/// What becomes of the starts of processes, the first of which is number 1.
class Starts {
  public:
    explicit Starts(std::function<Start(int)> fate) {
        starts = 0;
        fate_of_start = std::move(fate);
    }
    Starts(const Starts&) = delete;
    Starts& operator=(const Starts&) = delete;
    ~Starts() {
        fate_of_start = [](int) { return Start::succeeds; };
    }
};

/// Keeps this worker from ending until the test lets it.
void hold_end(const Event& opening) {
    static std::optional<Event> awaited;
    awaited.emplace(opening);
    std::atexit([] { (void)awaited->wait_for(patience); });
}

int hold_end_and_return(const Event& opening) {
    hold_end(opening);
    return 1;
}

int succeed_the_second_time(const std::string& attempts, const Event& opening) {
    if (muster::test::Attempts::next(attempts) == 2) return 2;
    hold_end(opening);
    throw std::runtime_error("the first attempt");
}

void pass_and_crash(const ProcessGate& gate) {
    gate.pass();
    ::kill(::getpid(), SIGKILL);
}

int own_pid() { return static_cast<int>(::getpid()); }

/// Whether it failed with its pool, whose workers were `Start::dies`.
bool says_why_broken(const muster::Future<int>& task) {
    try {
        (void)task.result();
    } catch (const muster::BrokenProcessPool& error) {
        const std::string words = error.what();
        CAPTURE(words);
        CHECK(words.find("its workers cannot start: ") != words.npos);
        CHECK(words.find("left with exit code 1") != words.npos);
        return true;
    }
    return false;
}

/// Workers are to be replaced after each task.
muster::ProcessPoolOptions one_task_each() { return {.max_workers = 1, .max_tasks_per_child = 1}; }

}  // namespace

TEST_CASE("a delayed attempt gets a worker though none could take the place of the last one") {
    const Starts fates(
        [](int number) { return number == 2 ? Start::is_refused : Start::succeeds; });
    const muster::test::Attempts attempts;
    const Event opening;
    muster::ProcessPoolExecutor pool(one_task_each());
    const auto task = pool.submit({.retries = 1, .retry_delay = 300ms}, succeed_the_second_time,
                                  attempts.path(), opening);
    REQUIRE(soon([] { return starts >= 2; }));
    opening.set();
    REQUIRE(task.wait_for(patience));
    CHECK(task.result() == 2);
}

/// More refusals than there are events at which the manager tries again.
Start refused_for_a_while(int number) {
    return number >= 2 && number <= 10 ? Start::is_refused : Start::succeeds;
}

TEST_CASE("a start that was refused is tried again though the last worker does not end") {
    const Starts fates(refused_for_a_while);
    const Event opening;
    muster::ProcessPoolExecutor pool(one_task_each());
    CHECK(pool.submit(hold_end_and_return, opening).result() == 1);
    const auto task = pool.submit(own_pid);
    const bool in_time = task.wait_for(patience / 2);
    opening.set();
    REQUIRE(in_time);
    CHECK(task.result() > 0);
}

TEST_CASE("a start that was refused is tried again though the other worker is busy for ever") {
    const Starts fates(refused_for_a_while);
    const ProcessGate gate;
    muster::ProcessPoolExecutor pool(2);
    const auto endless = pool.submit(&ProcessGate::pass, gate);
    REQUIRE(gate.arrived());
    const auto task = pool.submit(own_pid);
    const bool in_time = task.wait_for(patience / 2);
    gate.open();
    REQUIRE(in_time);
    CHECK(task.result() > 0);
    CHECK_NOTHROW(endless.result());
}

TEST_CASE("starts that die break the pool though the last worker does not end") {
    const Starts fates([](int number) { return number == 1 ? Start::succeeds : Start::dies; });
    const Event opening;
    muster::ProcessPoolExecutor pool(one_task_each());
    CHECK(pool.submit(hold_end_and_return, opening).result() == 1);
    const auto task = pool.submit(own_pid);
    const bool in_time = task.wait_for(patience / 2);
    opening.set();
    REQUIRE(in_time);
    CHECK(says_why_broken(task));
}

TEST_CASE("starts that die break the pool though a worker that is to go is busy for ever") {
    const Starts fates([](int number) { return number <= 2 ? Start::succeeds : Start::dies; });
    const ProcessGate busy;
    const ProcessGate crash;
    muster::ProcessPoolExecutor pool(2);
    const auto endless = pool.submit(&ProcessGate::pass, busy);
    REQUIRE(busy.arrived());
    const auto crashes = pool.submit(pass_and_crash, crash);
    REQUIRE(crash.arrived());
    pool.resize(1);  // The worker that was there first is to go when its task is done.
    const auto task = pool.submit(own_pid);
    crash.open();
    const bool in_time = task.wait_for(patience / 2);
    busy.open();
    REQUIRE(in_time);
    CHECK(says_why_broken(task));
    CHECK_THROWS_AS(crashes.result(), muster::WorkerCrashed);
    CHECK_NOTHROW(endless.result());
}

TEST_CASE("a death is noticed though the system refuses to watch") {
    muster::ProcessPoolExecutor pool(1);
    const int worker = pool.submit(own_pid).result();
    const ProcessGate gate;
    const auto task = pool.submit([](const ProcessGate& own) { own.arrive_and_stay(); }, gate);
    REQUIRE(gate.arrived());
    refuses_to_watch = true;
    // A limit makes the manager look up.
    const auto later = pool.submit({.timeout = 1h}, own_pid);
    REQUIRE(soon([] { return refusals > 0; }));
    ::kill(worker, SIGKILL);
    const bool in_time = task.wait_for(patience / 2);
    refuses_to_watch = false;
    REQUIRE(in_time);
    CHECK_THROWS_AS(task.result(), muster::WorkerCrashed);
    CHECK(later.result() != worker);
}

}  // namespace process_manager_test
