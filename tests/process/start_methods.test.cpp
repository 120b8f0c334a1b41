// SPDX-License-Identifier: MIT
// ctest: concurrency
// What differs between workers that are started afresh and those that are copies.
#include <muster/multiprocessing/value.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/process_gate.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace process_start_methods_test {

namespace {

using muster::ProcessPoolExecutor;
using muster::StartMethod;
using muster::test::children_of;
using muster::test::Program;
using muster::test::TaskGate;

constexpr StartMethod every_method[] = {StartMethod::spawn, StartMethod::fork,
                                        StartMethod::forkserver};

int value = 1;  // NOLINT: what workers see of it is the question.

int seen_value() { return value; }
int own_pid() { return static_cast<int>(::getpid()); }

std::string parent_and_group() {
    return std::string(::getpgrp() == ::getpid() ? "own group" : "other group") + ", input from " +
           std::to_string(::getchar());
}

/// In a worker: the child has all its descriptors.
void leave_child_and_stay(const muster::test::ProcessGate& gate,
                          const muster::multiprocessing::Value<::pid_t>& child) {
    const ::pid_t pid = ::fork();
    if (pid == 0) {
        for (;;) ::pause();
    }
    child.set(pid);  // -1: there is none.
    gate.arrive_and_stay();
}

/// How often something is in a text.
auto count_of(std::string text) {
    return [text = std::move(text)](const std::string& line) {
        int found = 0;
        for (std::size_t at = text.find(line); at != text.npos; at = text.find(line, at + 1))
            ++found;
        return found;
    };
}

struct SaysWhenItGoes {
    ~SaysWhenItGoes() {
        if (muster::in_worker()) std::fputs("destroyed\n", stdout);
    }
};

}  // namespace

TEST_CASE("a fork's workers see the memory as it was when the pool was made, later ones too") {
    value = 2;
    for (const StartMethod method : every_method) {
        const bool copies = method == StartMethod::fork;
        CAPTURE(static_cast<int>(method));
        value = 3;
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
        value = 4;
        CHECK(pool.submit(seen_value).result() == (copies ? 3 : 1));
        CHECK_THROWS_AS(pool.submit([] { ::raise(SIGKILL); }).result(), muster::WorkerCrashed);
        value = 5;
        CHECK(pool.submit(seen_value).result() == (copies ? 3 : 1));
    }
    value = 1;
}

TEST_CASE("workers that a resize adds to a fork's pool see that memory too") {
    value = 3;
    ProcessPoolExecutor pool({.max_workers = 1, .start_method = StartMethod::fork});
    value = 4;
    CHECK(pool.submit(seen_value).result() == 3);
    pool.resize(2);
    TaskGate gate;
    const auto held = [](const std::string& path) {
        TaskGate::pass(path, 'x');
        return std::pair(own_pid(), seen_value());
    };
    auto first = pool.submit(held, gate.path());
    auto second = pool.submit(held, gate.path());
    for (int i = 0; i < 2; ++i) CHECK(gate.arrival() == 'x');  // Both run: there are two workers.
    gate.open();
    CHECK(first.result().first != second.result().first);
    CHECK(first.result().second == 3);
    CHECK(second.result().second == 3);
    value = 1;
}

TEST_CASE("workers of every start method know that they are, and have a group and no input") {
    for (const StartMethod method : every_method) {
        CAPTURE(static_cast<int>(method));
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
        CHECK(pool.submit([] { return muster::in_worker(); }).result());
        CHECK(pool.submit(parent_and_group).result() == "own group, input from -1");
        CHECK(pool.stats().pids == std::vector<int>{pool.submit(own_pid).result()});
    }
    CHECK_FALSE(muster::in_worker());
}

TEST_CASE("an end's exit code and signal are told for every start method") {
    for (const StartMethod method : every_method) {
        CAPTURE(static_cast<int>(method));
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
        for (const int code : {3, 0}) {
            try {
                pool.submit([](int given) { std::exit(given); }, code).result();
                FAIL("no error");
            } catch (const muster::WorkerCrashed& error) {
                CHECK(error.exit_code() == code);
                CHECK_FALSE(error.signal().has_value());
            }
        }
        try {
            pool.submit([] { ::raise(SIGSEGV); }).result();
            FAIL("no error");
        } catch (const muster::WorkerCrashed& error) {
            CHECK(error.exit_code() == -SIGSEGV);
            CHECK(error.signal() == SIGSEGV);
        }
    }
}

TEST_CASE("workers of every start method may make pools of every start method") {
    for (const StartMethod outer : every_method) {
        for (const StartMethod inner : every_method) {
            CAPTURE(static_cast<int>(outer));
            CAPTURE(static_cast<int>(inner));
            ProcessPoolExecutor pool({.max_workers = 1, .start_method = outer});
            auto nested = pool.submit(
                [](StartMethod method) {
                    ProcessPoolExecutor own({.max_workers = 1, .start_method = method});
                    return own.submit([](int x) { return x + 1; }, 1).result();
                },
                inner);
            REQUIRE(nested.wait_for(std::chrono::seconds(200)));
            CHECK(nested.result() == 2);
        }
    }
}

TEST_CASE("the process that is copied may die: a forkserver is started anew") {
    ProcessPoolExecutor pool({.max_workers = 1, .start_method = StartMethod::forkserver});
    CHECK(pool.submit(seen_value).result() == 1);
    const int worker = pool.submit(own_pid).result();
    for (const ::pid_t server : children_of()) ::kill(server, SIGKILL);
    CHECK(muster::test::ends(worker));
    auto later = pool.submit(seen_value);
    REQUIRE(later.wait_for(std::chrono::seconds(200)));
    CHECK(later.result() == 1);
}

TEST_CASE("a worker that ends with the process that is copied was ended by SIGKILL") {
    for (const StartMethod method : {StartMethod::fork, StartMethod::forkserver}) {
        CAPTURE(static_cast<int>(method));
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
        TaskGate gate;
        auto task = pool.submit(&TaskGate::pass, gate.path(), 'a');
        (void)gate.arrival();
        for (const ::pid_t server : children_of()) ::kill(server, SIGKILL);
        REQUIRE(task.wait_for(std::chrono::seconds(200)));
        try {
            task.result();
            FAIL("no error");
        } catch (const muster::WorkerCrashed& error) {
            CHECK(error.exit_code() == -SIGKILL);
            CHECK(error.signal() == SIGKILL);
        }
    }
}

TEST_CASE("a worker's death is noticed though a server and a child of its task come into the way") {
    for (const StartMethod method : {StartMethod::fork, StartMethod::forkserver}) {
        CAPTURE(static_cast<int>(method));
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
        const muster::test::ProcessGate gate;
        const muster::multiprocessing::Value<::pid_t> child(0);
        const auto task = pool.submit(leave_child_and_stay, gate, child);
        REQUIRE(gate.arrived());
        REQUIRE(child.get() > 0);
        // Nobody is left to report the worker's end, and the child keeps its end of the lifeline.
        for (const ::pid_t server : children_of()) ::kill(server, SIGKILL);
        const bool in_time = task.wait_for(std::chrono::seconds(100));
        ::kill(child.get(), SIGKILL);
        REQUIRE(in_time);
        CHECK_THROWS_AS(task.result(), muster::WorkerCrashed);
    }
}

TEST_CASE("every task has an outcome, however often the process that is copied dies") {
    ProcessPoolExecutor pool({.max_workers = 2, .start_method = StartMethod::forkserver});
    for (int round = 0; round < 8; ++round) {
        std::vector<muster::Future<int>> tasks;
        for (int i = 0; i < 20; ++i) tasks.push_back(pool.submit(seen_value));
        tasks[static_cast<std::size_t>(round)].wait();
        for (const ::pid_t server : children_of()) ::kill(server, SIGKILL);
        for (auto& task : tasks) {
            REQUIRE(task.wait_for(std::chrono::seconds(200)));
            try {
                CHECK(task.result() == 1);
            } catch (const muster::WorkerCrashed&) {  // It ran as its worker died.
            }
        }
    }
}

TEST_CASE("the process that is copied may die: what was forked cannot be forked again") {
    ProcessPoolExecutor pool({.max_workers = 1, .start_method = StartMethod::fork});
    const int worker = pool.submit(own_pid).result();
    for (const ::pid_t server : children_of()) ::kill(server, SIGKILL);
    CHECK(muster::test::ends(worker));
    auto later = pool.submit(seen_value);
    REQUIRE(later.wait_for(std::chrono::seconds(200)));
    CHECK_THROWS_AS(later.result(), muster::BrokenProcessPool);
}

TEST_CASE("require_single_thread refuses to fork a program with threads") {
    const muster::ProcessPoolOptions careful{
        .max_workers = 1, .start_method = StartMethod::fork, .require_single_thread = true};
    TaskGate gate;
    std::thread other([&] { TaskGate::pass(gate.path(), 'a'); });
    (void)gate.arrival();
    CHECK_THROWS_AS(ProcessPoolExecutor(muster::ProcessPoolOptions(careful)),
                    muster::InvalidStateError);
    gate.open();
    other.join();
}

TEST_CASE("program: prints of every kind" * doctest::skip()) {
    static const SaysWhenItGoes goes;
    std::atexit([] {
        if (muster::in_worker()) std::fputs("exit handler\n", stdout);
    });
    std::fputs("from main\n", stdout);  // Waits in the buffer: this is a pipe.
    std::cout << "from main's stream\n";
    const std::string method = muster::test::argument_of_program();
    ProcessPoolExecutor pool({.max_workers = 1,
                              .start_method = method == "fork"         ? StartMethod::fork
                                              : method == "forkserver" ? StartMethod::forkserver
                                                                       : StartMethod::spawn});
    pool.submit([] {
            std::fputs("from the worker\n", stdout);
            std::atexit([] { std::fputs("left by exit\n", stdout); });
        })
        .result();
    pool.shutdown();
    std::fflush(stdout);
}

TEST_CASE("nothing is printed twice, and only a forked worker leaves without exit") {
    for (const std::string method : {"spawn", "fork", "forkserver"}) {
        CAPTURE(method);
        const auto count = count_of(Program::test_case("prints of every kind", method).rest());
        CHECK(count("from main\n") == 1);
        CHECK(count("from main's stream\n") == 1);
        CHECK(count("from the worker\n") == 1);
        CHECK(count("left by exit\n") == (method == "fork" ? 0 : 1));
        CHECK(count("exit handler\n") == 0);
        CHECK(count("destroyed\n") == 0);
    }
}

#ifdef __GLIBC__  // Elsewhere a copy does run the exit handlers of its program.
TEST_CASE("program: tasks that exit" * doctest::skip()) {
    const std::string file = "/tmp/muster-log-" + std::to_string(::getpid());
    static std::ofstream log(file);
    static const SaysWhenItGoes goes;
    std::atexit([] { std::fputs(muster::in_worker() ? "worker's\n" : "parent's\n", stdout); });
    log << "logged\n";  // Waits in the buffer, which is flushed when the stream is destroyed.
    ProcessPoolExecutor pool({.max_workers = 1, .start_method = StartMethod::fork});
    for (int i = 0; i < 2; ++i) {
        try {
            pool.submit([] {
                    std::atexit([] { std::fputs("task's\n", stdout); });
                    std::fputs("printed\n", stdout);
                    std::exit(7);
                })
                .result();
        } catch (const muster::WorkerCrashed& error) {
            std::fputs(error.exit_code() == 7 ? "seven\n" : "another code\n", stdout);
        }
    }
    pool.shutdown();
    log.close();
    std::fputs(std::string(std::istreambuf_iterator(std::ifstream(file).rdbuf()), {}).c_str(),
               stdout);
    std::filesystem::remove(file);
}

TEST_CASE("a forked worker whose task calls exit runs only the exit handlers made in it") {
    const auto count = count_of(Program::test_case("tasks that exit").rest());
    CHECK(count("logged\n") == 1);
    CHECK(count("worker's\n") == 0);
    CHECK(count("destroyed\n") == 0);
    CHECK(count("parent's\n") == 1);
    CHECK(count("task's\n") == 2);
    CHECK(count("printed\n") == 2);
    CHECK(count("seven\n") == 2);
}
#endif

TEST_CASE("workers of every start method serve a program without descriptors 0 to 2") {
    for (const StartMethod method : every_method) {
        int seen = 0;
        {
            const muster::test::StandardStreamsClosed closed;
            ProcessPoolExecutor pool({.max_workers = 2, .start_method = method});
            seen = pool.submit([](std::vector<int> v) { return v[1]; }, std::vector{1, 2}).result();
        }
        CHECK(seen == 2);
    }
}

TEST_CASE("pools of every start method leave no process and no descriptor") {
    for (const StartMethod method : every_method) {
        CAPTURE(static_cast<int>(method));
        const auto descriptors = muster::test::open_descriptors();
        for (int i = 0; i < 10; ++i) {
            ProcessPoolExecutor pool({.max_workers = 2, .start_method = method});
            if (i % 2 == 0) pool.submit(own_pid).wait();
        }
        CHECK(children_of().empty());
        CHECK(muster::test::open_descriptors() == descriptors);
    }
}

}  // namespace process_start_methods_test
