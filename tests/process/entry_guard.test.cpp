// SPDX-License-Identifier: MIT
// ctest: alone concurrency
// Programs without the guard, global pools, and which side of the guard one is on.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/program.hpp"

namespace {

using muster::ProcessPoolExecutor;
using muster::test::argument_of_program;
using muster::test::children_of;
using muster::test::Program;
using muster::test::say;

const bool worker_in_static_initializer = muster::in_worker();

// Inert in workers: the first thing that a worker would do with it is to start its own.
ProcessPoolExecutor global_pool(2);
const muster::Future<int> of_static_initializer =
    !muster::in_worker() && argument_of_program().empty() ? global_pool.submit([] { return 17; })
                                                          : muster::Future<int>();

class TemporaryFile {
  public:
    TemporaryFile() { ::close(::mkstemp(path_)); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() { ::unlink(path_); }
    [[nodiscard]] std::string path() const { return path_; }
    [[nodiscard]] std::vector<std::string> lines() const {
        std::ifstream file(path_);
        std::vector<std::string> all;
        for (std::string line; std::getline(file, line);) all.push_back(line);
        return all;
    }

  private:
    char path_[32] = "/tmp/muster-starts-XXXXXX";
};

}  // namespace

TEST_CASE("a program without the guard gets EntryGuardError, soon, and never multiplies") {
    for (const std::string what : {"pool", "run", "return", "fail", "ignore", "forkserver"}) {
        CAPTURE(what);
        const TemporaryFile starts;
        Program program({std::string(TEST_PROGRAMS) + "/no_guard", what, starts.path()});
        for (int i = 0; i < 2; ++i) {
            const std::string message = program.line();
            CHECK_MESSAGE(
                message.find("make `muster::entry_guard();` the first statement of main") !=
                    std::string::npos,
                message);
        }
        CHECK(program.line() == "quickly");
        CHECK(program.exit_code() == 0);
        const auto lines = starts.lines();
        CHECK(std::count(lines.begin(), lines.end(), "parent") == 1);
        CHECK(lines.size() >= 2);
        CHECK(lines.size() <= 1 + (what == "forkserver" ? 1 : 3));
    }
}

TEST_CASE("a worker that lost what it inherited ends before main, and never multiplies") {
    const TemporaryFile starts;
    Program program({std::string(TEST_PROGRAMS) + "/no_guard", "closed", starts.path()});
    for (int i = 0; i < 2; ++i)
        CHECK(program.line().find("make `muster::entry_guard();`") != std::string::npos);
    CHECK(program.line() == "quickly");
    CHECK(program.exit_code() == 0);
    CHECK(starts.lines() == std::vector<std::string>{"parent"});
}

TEST_CASE("in_worker tells the side, in static initializers and in tasks") {
    CHECK_FALSE(muster::in_worker());
    CHECK_FALSE(worker_in_static_initializer);
    ProcessPoolExecutor pool(1);
    CHECK(pool.submit([] { return muster::in_worker(); }).result());
    CHECK(pool.submit([] { return worker_in_static_initializer; }).result());
    CHECK_FALSE(muster::in_worker());
}

TEST_CASE("a program that a worker starts is no worker") {
    ProcessPoolExecutor pool(1);
    CHECK(pool.submit([](const std::string& command) { return std::system(command.c_str()); },
                      muster::test::own_path() +
                          " --no-skip --quiet --test-case='program: is no worker'")
              .result() == 0);
}

TEST_CASE("program: is no worker" * doctest::skip()) {
    CHECK_FALSE(muster::in_worker());
    ProcessPoolExecutor pool(1);
    CHECK(pool.submit([] { return muster::in_worker(); }).result());
}

TEST_CASE("a task of a static initializer runs in a pool that is global") {
    CHECK(of_static_initializer.result() == 17);
}

TEST_CASE("entry_guard returns at once in an ordinary process, any number of times") {
    muster::entry_guard();
    muster::entry_guard();
}

TEST_CASE("a worker may itself make pools") {
    ProcessPoolExecutor pool(2);
    auto outer = pool.submit(
        [](int n) {
            ProcessPoolExecutor inner(2);
            int sum = 0;
            for (const int x : inner.map([](int i) { return i * i; }, std::vector{1, 2, n}))
                sum += x;
            return sum;
        },
        3);
    CHECK(outer.result() == 14);
    CHECK(pool.submit([] { return global_pool.submit([] { return 6; }).result(); }).result() == 6);
}

TEST_CASE("a nested pool's crash reaches the outer future") {
    ProcessPoolExecutor pool(1);
    auto outer = pool.submit([] {
        ProcessPoolExecutor inner(1);
        try {
            inner.submit([] { ::_exit(4); }).result();
        } catch (const muster::WorkerCrashed& crash) {
            return crash.exit_code().value_or(-1);
        }
        return 0;
    });
    CHECK(outer.result() == 4);
}

TEST_CASE("a pool may be a member, or be made in a thread that ends") {
    struct Service {
        ProcessPoolExecutor pool{1};
        int ask(int x) {
            return pool.submit([](int y) { return y + 1; }, x).result();
        }
    };
    Service service;
    CHECK(service.ask(1) == 2);

    std::unique_ptr<ProcessPoolExecutor> made;
    int pid = 0;
    std::thread([&] {
        made = std::make_unique<ProcessPoolExecutor>(1);
        pid = made->submit([] { return static_cast<int>(::getpid()); }).result();
    }).join();
    CHECK(made->submit([] { return static_cast<int>(::getpid()); }).result() == pid);
}

TEST_CASE("constructing a pool starts no process") {
    const auto before = children_of();
    const ProcessPoolExecutor pool(4);
    CHECK(children_of() == before);
}

// --- the end of the program

namespace {

struct Object {
    const char* name;
    bool alive = true;
    ~Object() {
        alive = false;
        if (!muster::in_worker()) say(std::string("destroyed ") + name);
    }
};

void submit_three(ProcessPoolExecutor& pool) {
    static Object object{"object"};  // Younger than the pool, but there before its first task.
    for (int i = 0; i < 3; ++i)
        pool.submit(
                [](int n) {
                    ::usleep(20'000);
                    return n;
                },
                i)
            .add_done_callback([](const muster::Future<int>& done) {
                say("task " + std::to_string(done.result()) + (object.alive ? "" : " dangling"));
            });
}

}  // namespace

TEST_CASE("program: static pools" * doctest::skip()) {
    const std::string kind = argument_of_program();
    if (kind == "global") submit_three(global_pool);
    if (kind == "function") {
        static ProcessPoolExecutor pool(1);
        submit_three(pool);
    }
    static ProcessPoolExecutor* leaked = nullptr;  // Known, but never destroyed.
    if (kind == "leaked") submit_three(*(leaked = new ProcessPoolExecutor(1)));
    if (kind == "local") {
        ProcessPoolExecutor pool(1);
        submit_three(pool);
        std::exit(0);
    }
    if (kind == "thread") {
        std::thread([] {
            leaked = new ProcessPoolExecutor(1);
            submit_three(*leaked);
        }).join();
    }
    std::exit(0);
}

TEST_CASE("tasks of static pools run before what was alive at the first of them is destroyed") {
    for (const std::string kind : {"global", "function", "leaked", "local", "thread"}) {
        CAPTURE(kind);
        Program program = Program::test_case("static pools", kind);
        std::string tasks;
        std::istringstream output(program.rest());
        std::vector<std::string> lines;
        for (std::string line; std::getline(output, line);) lines.push_back(line);
        std::sort(lines.begin(), lines.end() - (lines.empty() ? 0 : 1));
        CHECK(lines == std::vector<std::string>{"task 0", "task 1", "task 2", "destroyed object"});
        CHECK(program.exit_code() == 0);
    }
}

TEST_CASE("program: exit in a callback" * doctest::skip()) {
    static ProcessPoolExecutor pool(1);
    pool.submit([] {}).add_done_callback([](const auto&) { std::exit(6); });
    for (int i = 0; i < 10; ++i) pool.submit([] {}).add_done_callback([](const auto&) {});
    for (;;) ::pause();
}

TEST_CASE("exit in a callback ends the program") {
    Program program = Program::test_case("exit in a callback");
    CHECK(program.exit_code() == 6);
}
