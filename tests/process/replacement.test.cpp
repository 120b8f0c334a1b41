// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Workers that end are replaced, unless none can start; and nothing of any of them is left behind.
#include <muster/entry_guard.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace process_replacement_test {

namespace {

using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::test::children_of;
using muster::test::open_descriptors;
using muster::test::TaskGate;
using namespace std::chrono_literals;

int own_pid() { return static_cast<int>(::getpid()); }

/// While there is this file, the next worker that the process starts afresh is late.
std::string late_file(::pid_t parent) { return "/tmp/muster-late-" + std::to_string(parent); }

const bool in_time = [] {
    if (muster::in_worker() && ::unlink(late_file(::getppid()).c_str()) == 0)
        for (;;) ::pause();
    return true;
}();

// Enough for a worker to start, on this machine as it is now.
std::chrono::milliseconds several_starts() {
    const auto begin = std::chrono::steady_clock::now();
    ProcessPoolExecutor(1).submit([] {}).wait();
    const auto one = std::chrono::steady_clock::now() - begin;
    return std::max(2000ms, std::chrono::duration_cast<std::chrono::milliseconds>(10 * one));
}

/// The shared memory that this process maps, by its names.
std::multiset<std::string> shared_memory() {
    std::multiset<std::string> names;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        for (const char* const place : {" /dev/shm/", " /memfd:"})
            if (const auto at = line.find(place); at != line.npos) names.insert(line.substr(at));
    return names;
}

/// An initializer: while there is the file, it ends the worker, and leaves a dot in it.
void end_while_there_is(const std::string& file) {
    if (!std::ifstream(file)) return;
    std::ofstream(file, std::ios::app) << '.' << std::flush;
    ::_exit(9);
}

/// An argument that cannot be encoded until `now`.
struct Encodable {
    template <typename Archive>
    void save(Archive& ar) const {
        if (!now) throw std::out_of_range("not now");
        ar(1);
    }
    template <typename Archive>
    void load(Archive& ar) {
        ar(number);
    }
    static inline bool now = true;
    int number = 0;
};

template <typename Error>
std::string message_of(muster::Future<int> future) {
    REQUIRE(future.wait_for(200s));
    try {
        return "no error but " + std::to_string(future.result());
    } catch (const Error& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("a worker that is killed while it is idle costs no task and is replaced") {
    ProcessPoolExecutor pool(1);
    int pid = pool.submit(own_pid).result();
    for (int i = 1; i <= 5; ++i) {
        CHECK(pool.stats().pids == std::vector<int>{pid});
        ::kill(pid, SIGKILL);
        CHECK(muster::test::ends(pid));
        const int next = pool.submit(own_pid).result();
        CHECK(next != pid);
        pid = next;
        pool.wait_idle();
        CHECK(pool.stats().respawned == static_cast<std::size_t>(i));
        CHECK(pool.stats().crashed == 0);
    }
}

TEST_CASE("a replacement does not wait for a task") {
    ProcessPoolExecutor pool(1);
    const int pid = pool.submit(own_pid).result();
    ::kill(pid, SIGKILL);
    const auto limit = std::chrono::steady_clock::now() + 30s;
    for (std::vector<int> pids; pids.empty() || pids[0] == pid; pids = pool.stats().pids) {
        REQUIRE(std::chrono::steady_clock::now() < limit);
        std::this_thread::yield();
    }
}

TEST_CASE("workers that are killed again and again before their first task run it in the end") {
    ProcessPoolExecutor pool(1);
    int pid = pool.submit(own_pid).result();
    for (int i = 0; i < 10; ++i) {
        ::kill(pid, SIGKILL);
        pid = pool.submit(own_pid).result();
    }
}

TEST_CASE("workers that end three times before they are ready break the pool, which says why") {
    struct Case {
        void (*initializer)();
        std::string words;
    };
    for (const Case& end : {Case{[] { ::_exit(9); }, "left with exit code 9"},
                            Case{[] { std::exit(5); }, "left with exit code 5"},
                            Case{[] { ::raise(SIGKILL); }, "was ended by SIGKILL"}}) {
        CAPTURE(end.words);
        ProcessPoolExecutor pool({.max_workers = 2, .initializer = end.initializer});
        auto first = pool.submit([] { return 1; });
        auto second = pool.submit([] { return 2; });
        for (const auto& future : {first, second}) {
            const std::string message = message_of<muster::BrokenProcessPool>(future);
            CHECK_MESSAGE(message.find(end.words) != std::string::npos, message);
        }
        const std::string later =
            message_of<muster::BrokenProcessPool>(pool.submit([] { return 3; }));
        CHECK_MESSAGE(later.find(end.words) != std::string::npos, later);
        pool.post([] {});
        pool.wait_idle();
        pool.shutdown();
        CHECK(pool.stats().failed == 4);
        CHECK_THROWS_AS((void)pool.submit([] { return 4; }), muster::ShutdownError);
    }
}

TEST_CASE(
    "workers that cannot start break no pool while others live, which then do all the tasks") {
    const std::string file = "/tmp/muster-unstartable-" + std::to_string(::getpid());
    const auto tried = [&] { return std::filesystem::file_size(file); };
    ProcessPoolExecutor pool({.max_workers = 3, .initializer = {end_while_there_is, file}});
    TaskGate gate;
    auto held = pool.submit(TaskGate::pass, gate.path(), 'a');
    (void)gate.arrival();
    const int worker = pool.stats().pids.at(0);
    std::ofstream(file) << std::flush;
    std::vector<muster::Future<int>> others;
    for (int i = 0; i < 20; ++i) others.push_back(pool.submit(own_pid));
    while (tried() < 3 && !held.done()) std::this_thread::yield();
    std::this_thread::sleep_for(500ms);  // In which further ones would be tried.
    CHECK_FALSE(held.done());
    gate.open();
    CHECK(held.result() == 'a');
    for (auto& other : others) CHECK(other.result() == worker);
    CHECK(tried() <= 5);  // Some may have been on their way.

    std::filesystem::remove(file);
    ::kill(worker, SIGKILL);  // In its place comes one that can start, and so can others then.
    TaskGate next_gate;
    for (int i = 0; i < 3; ++i)
        others.push_back(
            pool.submit([](const std::string& path) { return int{TaskGate::pass(path, 'b')}; },
                        next_gate.path()));
    for (int i = 0; i < 3; ++i) CHECK(next_gate.arrival() == 'b');
    next_gate.open();
    for (std::size_t i = 20; i < 23; ++i) CHECK(others[i].result() == 'b');

    std::ofstream(file) << std::flush;
    for (const int pid : pool.stats().pids) ::kill(pid, SIGKILL);
    const std::string message = message_of<muster::BrokenProcessPool>(pool.submit(own_pid));
    CHECK_MESSAGE(message.find("left with exit code 9") != std::string::npos, message);
    std::filesystem::remove(file);
}

TEST_CASE("a program that cannot be started breaks the pool, which names it") {
    if (muster::test::tested_start_method() == muster::StartMethod::fork) {
        CHECK_THROWS_AS(ProcessPoolExecutor({.executable = "/nowhere/at/all"}),
                        std::invalid_argument);
        return;
    }
    ProcessPoolExecutor pool({.max_workers = 1, .executable = "/nowhere/at/all"});
    const std::string message =
        message_of<muster::BrokenProcessPool>(pool.submit([] { return 1; }));
    CHECK_MESSAGE(message.find("/nowhere/at/all") != std::string::npos, message);
}

TEST_CASE("an initializer runs once in each worker, with its arguments") {
    static std::atomic<int> value{0};  // Each worker has its own.
    ProcessPoolExecutor pool({.max_workers = 2,
                              .initializer = {[](int x, const std::string& s) {
                                                  value += x + static_cast<int>(s.size());
                                              },
                                              40, "ab"}});
    for (int round = 0; round < 2; ++round) {
        TaskGate gate;
        std::vector<muster::Future<int>> values;
        for (int i = 0; i < 2; ++i)
            values.push_back(pool.submit(
                [](const std::string& path) {
                    TaskGate::pass(path, 'a');
                    return value.load();
                },
                gate.path()));
        for (int i = 0; i < 2; ++i) (void)gate.arrival();
        gate.open();
        for (auto& seen : values) CHECK(seen.result() == 42);
    }
    CHECK(value == 0);
    ::kill(pool.stats().pids[0], SIGKILL);  // The replacement is initialized as well.
    for (int i = 0; i < 20; ++i) CHECK(pool.submit([] { return value.load(); }).result() == 42);
}

TEST_CASE("an initializer that throws breaks the pool, with its message") {
    ProcessPoolExecutor pool(
        {.max_workers = 2, .initializer = [] { throw std::runtime_error("no licence"); }});
    auto waiting = pool.submit([] { return 1; });
    const std::string message = message_of<muster::BrokenProcessPool>(waiting);
    CHECK_MESSAGE(message.find("no licence") != std::string::npos, message);
    CHECK(message_of<muster::BrokenProcessPool>(pool.submit([] { return 1; })) == message);
    pool.wait_idle();
    CHECK(pool.stats().failed == 2);
}

TEST_CASE("an initializer that cannot be encoded fails the tasks, until it can") {
    static int initialized = 0;  // Each worker has its own.
    Encodable::now = false;
    ProcessPoolExecutor pool(
        {.max_workers = 2,
         .initializer = {[](const Encodable& argument) { initialized = argument.number; },
                         Encodable()}});
    const auto children = children_of();
    const auto seen = [] { return initialized; };
    for (int round = 0; round < 3; ++round) {
        auto task = pool.submit(seen);
        REQUIRE(task.wait_for(200s));
        CHECK_THROWS_WITH_AS(task.result(), "not now", std::out_of_range);
    }
    CHECK(pool.wait_idle_for(200s));
    CHECK(pool.stats().failed == 3);
    CHECK(pool.stats().pids.empty());
    CHECK(children_of() == children);

    Encodable::now = true;
    CHECK(pool.submit(seen).result() == 1);
}

TEST_CASE("an initializer may take longer than start_timeout, which ends at the guard") {
    const std::chrono::milliseconds limit = several_starts();
    ProcessPoolExecutor pool(
        {.max_workers = 1,
         .initializer = {[](std::chrono::milliseconds time) { std::this_thread::sleep_for(time); },
                         limit + 500ms},
         .start_timeout = limit});
    CHECK(pool.submit([] { return 1; }).result() == 1);
}

TEST_CASE("a worker that is late where others were not is replaced like one that died") {
    ProcessPoolExecutor pool({.max_workers = 1, .start_timeout = several_starts()});
    CHECK(pool.submit(own_pid).result() != ::getpid());
    const std::string file = late_file(::getpid());
    std::ofstream(file) << "once";
    (void)pool.submit([] { std::abort(); });
    CHECK(pool.submit([] { return in_time; }).result());
    ::unlink(file.c_str());  // Copies of a process have no start of their own.
}

TEST_CASE("a task can be killed at once while the process to be copied starts") {
    const auto limit = 2 * several_starts();
    const std::string file = late_file(::getpid());
    std::ofstream(file) << "once";
    muster::ProcessPoolExecutor pool({.max_workers = 1,
                                      .start_method = muster::StartMethod::forkserver,
                                      .start_timeout = limit});
    auto killed = pool.submit(own_pid);
    auto other = pool.submit(own_pid);
    while (std::filesystem::exists(file) && !other.done()) std::this_thread::yield();

    CHECK(killed.kill());

    CHECK(killed.cancelled());
    CHECK_FALSE(other.done());  // Until the time for the start is over.
    CHECK_THROWS_AS(other.result(), muster::EntryGuardError);
    ::unlink(file.c_str());
}

// Where each process takes long to start, and has descriptors and threads of the tool's.
#ifdef TEST_THREAD_SANITIZER
constexpr bool slow_starts = true;
#else
constexpr bool slow_starts = false;
#endif

TEST_CASE("100 pools leave no descriptor, no process, no shared memory and no thread" *
          doctest::skip(slow_starts)) {
    {
        ProcessPoolExecutor first(2);
        first.submit(own_pid).result();
    }
    const auto descriptors = open_descriptors();
    const auto memory = shared_memory();
    for (int i = 0; i < 100; ++i) {
        ProcessPoolExecutor pool(2);
        auto future = pool.submit(own_pid);
        if (i % 4 == 1) (void)pool.submit([] { std::abort(); });
        if (i % 4 == 2) (void)pool.submit([] { return std::vector<char>(100'000); });
        if (i % 4 == 3) future.add_done_callback([](const auto&) {});
        CHECK(future.result() != ::getpid());
    }
    CHECK(children_of().empty());
    CHECK(open_descriptors() == descriptors);
    CHECK(shared_memory() == memory);
    const auto threads = [] {
        const auto list = std::filesystem::directory_iterator("/proc/self/task");
        return std::distance(begin(list), end(list));
    };
    const auto patience = std::chrono::steady_clock::now() + 60s;
    while (threads() > 2 && std::chrono::steady_clock::now() < patience)
        std::this_thread::yield();  // One that has been joined may be listed a little longer.
    CHECK(threads() <= 2);          // A sanitizer may have its own.
}

TEST_CASE("100 pools that were never used cost nothing that stays") {
    const auto descriptors = open_descriptors();
    for (int i = 0; i < 100; ++i) {
        ProcessPoolExecutor pool(2);
        (void)pool.max_workers();
    }
    CHECK(open_descriptors() == descriptors);
    CHECK(children_of().empty());
}

TEST_CASE("while a pool works there are no more processes than workers, and no zombie stays") {
    ProcessPoolExecutor pool(2);
    for (int i = 0; i < 20; ++i) {
        auto crash = pool.submit([] { ::_exit(1); });
        for (int j = 0; j < 50; ++j) pool.post([] {});
        CHECK_THROWS_AS(crash.result(), muster::WorkerCrashed);
        CHECK(children_of().size() <= 3);  // One may be the dead one, about to be reaped.
    }
    pool.shutdown();
    CHECK(children_of().empty());
}

}  // namespace process_replacement_test
