// SPDX-License-Identifier: MIT
// ctest: concurrency
// How thread pools end: from inside their own tasks, and with the program.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/event.hpp"
#include "support/program.hpp"

namespace thread_pool_end_test {

namespace {

using muster::Future;
using muster::ThreadPoolExecutor;
using muster::test::Event;
using muster::test::Program;
using namespace std::chrono_literals;

// Starts so many workers that they are all there, and idle.
void start_all_workers(ThreadPoolExecutor& pool) {
    const Event all_there;
    std::atomic<std::size_t> there{0};
    for (std::size_t i = 0; i < pool.max_workers(); ++i)
        pool.post([&, all_there] {
            if (++there == pool.max_workers()) all_there.set();
            all_there.wait();
        });
    pool.wait_idle();
}

}  // namespace

TEST_CASE("a task may shut its pool down") {
    ThreadPoolExecutor pool(2);
    const Event gate;
    auto other = pool.submit([gate] {
        gate.wait();
        return 1;
    });
    auto closer = pool.submit([&] {
        pool.shutdown();  // It would wait for itself, and so it does not wait.
        try {
            (void)pool.submit([] {});
            return false;
        } catch (const muster::ShutdownError&) {
            return true;
        }
    });

    CHECK(closer.result());
    CHECK_FALSE(other.done());
    gate.set();
    pool.shutdown();
    CHECK(other.result() == 1);
}

TEST_CASE("a task may cancel what waits in its pool") {
    ThreadPoolExecutor pool(1);
    Future<void> queued;
    auto closer = pool.submit([&] {
        queued = pool.submit([] {});
        pool.shutdown({.cancel_futures = true});
    });
    closer.result();
    CHECK(queued.cancelled());
}

TEST_CASE("a callback may shut the pool down") {
    ThreadPoolExecutor pool(2);
    start_all_workers(pool);
    pool.submit([] {}).add_done_callback([&](const auto&) { pool.shutdown(); });
    pool.wait_idle();
    CHECK_THROWS_AS((void)pool.submit([] {}), muster::ShutdownError);
}

TEST_CASE("a pool may be destroyed by its own task") {
    for (const int workers : {1, 2, 4}) {
        CAPTURE(workers);
        auto pool = std::make_shared<ThreadPoolExecutor>(workers);
        start_all_workers(*pool);
        const std::weak_ptr<ThreadPoolExecutor> alive = pool;
        const Event last_owner;
        auto before = pool->submit([] { return 1; });
        auto task = pool->submit([pool, last_owner] { last_owner.wait(); });
        auto queued = pool->submit([] { return 2; });

        pool.reset();
        last_owner.set();
        task.wait();

        CHECK(alive.expired());
        CHECK(before.result() == 1);
        CHECK(queued.result() == 2);
    }
}

TEST_CASE("a pool may be destroyed by the callback of its own task") {
    for (const int workers : {1, 3}) {
        CAPTURE(workers);
        auto pool = std::make_unique<ThreadPoolExecutor>(workers);
        start_all_workers(*pool);
        const Event gate;
        const Event destroyed;
        auto task = pool->submit([gate] { gate.wait(); });
        task.add_done_callback([&, destroyed](const auto&) {
            pool.reset();
            destroyed.set();
        });
        gate.set();
        destroyed.wait();
        CHECK(task.done());
    }
}

TEST_CASE("a pool may be destroyed by the callback of a task that another thread cancels") {
    auto pool = std::make_unique<ThreadPoolExecutor>(1);
    const Event begun;
    const Event gate;
    auto running = pool->submit([begun, gate] {
        begun.set();
        gate.wait();
    });
    auto pending = pool->submit([] {});
    pending.add_done_callback([&](const auto&) {
        gate.set();
        pool.reset();
    });
    begun.wait();

    CHECK(pending.cancel());

    CHECK(running.done());
    CHECK(pool == nullptr);
}

TEST_CASE("a pool may be destroyed by the callback of a task that ran past its time") {
    auto pool = std::make_unique<ThreadPoolExecutor>(2);
    const Event destroyed;
    auto task = pool->submit({.timeout = 1ms}, [](muster::StopToken stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
    });
    task.add_done_callback([&, destroyed](const auto&) {
        pool.reset();
        destroyed.set();
    });
    destroyed.wait();
    CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
}

// --- with the program
//
// These test cases are programs of their own: the tests below them start this executable again and
// look at what it printed.

namespace {

// Programs that end by exit() leave threads behind; ThreadSanitizer is told that this is meant.
Program run(const std::string& program) {
    const char* const options = std::getenv("TSAN_OPTIONS");
    const std::string without = " report_thread_leaks=0";
    ::setenv("TSAN_OPTIONS", ((options ? options : "") + without).c_str(), 1);
    return Program::test_case(program);
}

void say(const char* word) {
    std::fputs(word, stdout);
    std::fflush(stdout);
}

struct Object {
    bool alive = true;
    ~Object() {
        alive = false;
        say("destroyed.");
    }
    void use() const { say(alive ? "used " : "dangling "); }
};

// Happens when the program ends. The handler that sets it is registered last, and so runs first.
Event& program_ends() {
    static Event event;
    return event;
}

void submit_three(ThreadPoolExecutor& pool) {
    static Object object;  // Younger than the pool, but there before its first task.
    (void)program_ends();
    for (int i = 0; i < 3; ++i)
        pool.post([] {
            program_ends().wait();
            object.use();
        });
    std::atexit([] {
        say("exit ");
        program_ends().set();
    });
}

ThreadPoolExecutor global_pool(1);

}  // namespace

TEST_CASE("program: global" * doctest::skip()) { submit_three(global_pool); }

TEST_CASE("program: static" * doctest::skip()) {
    static ThreadPoolExecutor pool(2);
    submit_three(pool);
}

TEST_CASE("program: leaked" * doctest::skip()) {
    static ThreadPoolExecutor& pool = *new ThreadPoolExecutor(1);
    submit_three(pool);
    pool.shutdown({.wait = false});
}

TEST_CASE("program: leaked later" * doctest::skip()) {
    static ThreadPoolExecutor& first = *new ThreadPoolExecutor(1);
    first.submit([] {}).result();
    static ThreadPoolExecutor& second = *new ThreadPoolExecutor(1);
    submit_three(second);
}

TEST_CASE("program: short-lived" * doctest::skip()) {
    static ThreadPoolExecutor& first = *new ThreadPoolExecutor(1);
    submit_three(first);  // They wait for an exit handler,
    {
        ThreadPoolExecutor(1).submit([] {}).result();
    }  // which comes after that of this one.
}

TEST_CASE("program: local" * doctest::skip()) {
    ThreadPoolExecutor pool(1);
    submit_three(pool);
    std::exit(7);
}

TEST_CASE("program: inside" * doctest::skip()) {
    ThreadPoolExecutor pool(4);  // The three tasks stay until the end.
    submit_three(pool);
    pool.submit({.priority = 1}, [] { std::exit(8); }).wait();
    Event().wait();
}

TEST_CASE("program: second pool" * doctest::skip()) {
    static ThreadPoolExecutor first(1);
    first.submit([] {}).result();
    static ThreadPoolExecutor second(1);  // The tasks of both use what came between.
    submit_three(second);
    first.post([] {
        program_ends().wait();
        say("first ");
    });
}

TEST_CASE("the tasks of a pool run before what was alive at its first one is destroyed") {
    // That another pool was used before, or has gone, makes no difference.
    for (const std::string kind :
         {"global", "static", "leaked", "leaked later", "short-lived", "local", "inside"}) {
        CAPTURE(kind);
        Program program = run(kind);
        CHECK(program.rest() == "exit used used used destroyed.");
        // The last two call exit, one of them in a task.
        CHECK(program.exit_code() == (kind == "local" ? 7 : kind == "inside" ? 8 : 0));
    }
}

TEST_CASE("several static pools run their tasks before the program ends") {
    Program program = run("second pool");
    const std::string output = program.rest();
    const auto times = [&](const std::string& word) {
        int count = 0;
        for (auto at = output.find(word); at != std::string::npos; at = output.find(word, at + 1))
            ++count;
        return count;
    };
    CHECK(times("first ") == 1);  // Somewhere between the others.
    CHECK(times("used ") == 3);
    CHECK(times("dangling") == 0);
    CHECK(program.exit_code() == 0);
}

}  // namespace thread_pool_end_test
