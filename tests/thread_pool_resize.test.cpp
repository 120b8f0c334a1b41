// SPDX-License-Identifier: MIT
// ctest: concurrency
// A thread pool whose number of workers changes.
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/event.hpp"
#include "support/race.hpp"

namespace thread_pool_resize_test {

namespace {

using muster::ThreadPoolExecutor;
using muster::test::Event;

/// Counts threads: one in each that has made a mark and lives.
std::atomic<int> marked_threads{0};
struct Mark {
    Mark() { ++marked_threads; }
    ~Mark() { --marked_threads; }
};
void mark_thread() { static thread_local const Mark mark; }

/// Tasks that run until they are let go, and how many of them there are.
class Holders {
  public:
    void submit_to(ThreadPoolExecutor& pool) const {
        pool.post([running = running_, gate = gate_] {
            ++*running;
            gate.wait();
            --*running;
        });
    }
    void await(int count) const {
        while (*running_ != count) std::this_thread::yield();
    }
    void let_go() const { gate_.set(); }

  private:
    std::shared_ptr<std::atomic<int>> running_ = std::make_shared<std::atomic<int>>(0);
    Event gate_;
};

}  // namespace

TEST_CASE("max_workers tells the number that the pool was resized to") {
    ThreadPoolExecutor pool(2);
    pool.resize(5);
    CHECK(pool.max_workers() == 5);
    pool.resize(1U);
    CHECK(pool.max_workers() == 1);
    CHECK(pool.submit([] { return 7; }).result() == 7);
    pool.resize(std::size_t{3});
    CHECK(pool.max_workers() == 3);
}

TEST_CASE("a pool cannot be resized to less than one worker") {
    ThreadPoolExecutor pool(2);
    CHECK_THROWS_AS(pool.resize(0), std::invalid_argument);
    CHECK_THROWS_AS(pool.resize(-1), std::invalid_argument);
    CHECK_THROWS_AS(pool.resize(std::numeric_limits<long>::min()), std::invalid_argument);
    CHECK_THROWS_AS(pool.resize(std::numeric_limits<std::size_t>::max()), std::invalid_argument);
    CHECK(pool.max_workers() == 2);
    CHECK(pool.submit([] { return 7; }).result() == 7);
}

TEST_CASE("tasks that wait get their threads when the pool grows") {
    ThreadPoolExecutor pool(1);
    Holders holders;
    for (int i = 0; i < 9; ++i) holders.submit_to(pool);
    holders.await(1);

    pool.resize(4);
    holders.await(4);
    pool.resize(9);
    holders.await(9);

    holders.let_go();
    pool.wait_idle();
    CHECK(pool.stats().completed == 9);
}

TEST_CASE("a pool that grew before its first task starts as many threads as it may") {
    ThreadPoolExecutor pool(1);
    Holders holders;
    pool.resize(3);
    for (int i = 0; i < 3; ++i) holders.submit_to(pool);
    holders.await(3);
}

TEST_CASE("sleeping workers that are too many end") {
    ThreadPoolExecutor pool({.max_workers = 6, .initializer = mark_thread});
    {
        Holders holders;
        for (int i = 0; i < 6; ++i) holders.submit_to(pool);
        holders.await(6);
    }
    pool.wait_idle();
    CHECK(marked_threads == 6);

    pool.resize(2);
    while (marked_threads != 2) std::this_thread::yield();

    pool.resize(1);
    while (marked_threads != 1) std::this_thread::yield();
    CHECK(pool.submit([] { return 7; }).result() == 7);
    CHECK(marked_threads == 1);
}

TEST_CASE("busy workers that are too many end with their task, and no other task begins before") {
    ThreadPoolExecutor pool({.max_workers = 3, .initializer = mark_thread});
    Holders first;
    for (int i = 0; i < 3; ++i) first.submit_to(pool);
    first.await(3);
    std::atomic<int> running{0};
    std::atomic<bool> overlap{false};

    pool.resize(1);
    for (int i = 0; i < 50; ++i)
        pool.post([&] {
            if (++running > 1) overlap = true;
            std::this_thread::yield();
            --running;
        });
    first.let_go();
    pool.wait_idle();

    CHECK_FALSE(overlap);
    while (marked_threads != 1) std::this_thread::yield();
    CHECK(pool.stats().completed == 53);
}

TEST_CASE("what a worker had queued for itself goes on elsewhere when it ends") {
    ThreadPoolExecutor pool(2);
    Holders holders;
    holders.submit_to(pool);
    holders.await(1);
    const Event made;
    const Event gate;
    std::atomic<int> ran{0};
    auto maker = pool.submit([&, made, gate] {
        for (int i = 0; i < 40; ++i) pool.post([&] { ++ran; });
        made.set();
        gate.wait();
    });
    made.wait();

    pool.resize(1);
    gate.set();
    maker.wait();
    CHECK(ran == 0);  // The maker's worker has ended, the other one is busy.
    holders.let_go();
    pool.wait_idle();
    CHECK(ran == 40);
}

TEST_CASE("workers that end are replaced, number by number, when the pool grows again") {
    std::mutex mutex;
    std::set<std::string> names;
    const auto note_name = [&] {
        mark_thread();
        char name[16] = "";
        ::pthread_getname_np(::pthread_self(), name, sizeof name);
        const std::lock_guard held(mutex);
        names.insert(name);
    };
    ThreadPoolExecutor pool(
        {.max_workers = 1, .thread_name_prefix = "grown", .initializer = note_name});
    for (int round = 0; round < 20; ++round) {
        Holders holders;
        pool.resize(4);
        for (int i = 0; i < 4; ++i) holders.submit_to(pool);
        holders.await(4);
        pool.resize(1);
        holders.let_go();
        pool.wait_idle();
        while (marked_threads != 1) std::this_thread::yield();
    }
    CHECK(names == std::set<std::string>{"grown_0", "grown_1", "grown_2", "grown_3"});
    CHECK(pool.stats().completed == 80);
    CHECK(pool.stats().running == 0);
}

TEST_CASE("a task may resize its own pool") {
    ThreadPoolExecutor pool(1);
    auto task = pool.submit([&] {
        const Event ran;
        pool.resize(2);
        pool.post([ran] { ran.set(); });
        std::this_thread::yield();
        ran.wait();  // In the new worker: this one does not help at an event.
        pool.resize(1);
        return pool.submit([] { return 7; }).result();
    });
    CHECK(task.result() == 7);
}

TEST_CASE("a pool that was shut down can still grow for what it has accepted") {
    ThreadPoolExecutor pool(1);
    Holders holders;
    for (int i = 0; i < 3; ++i) holders.submit_to(pool);
    pool.shutdown({.wait = false});
    pool.resize(3);
    holders.await(3);
    holders.let_go();
    pool.shutdown();
    CHECK(pool.stats().completed == 3);
}

TEST_CASE("no task is lost or stuck while several threads resize the pool") {
    ThreadPoolExecutor pool(2);
    constexpr std::size_t rounds = 300;
    std::atomic<std::size_t> ran{0};
    const auto submits = [&](std::size_t) {
        pool.post([&] {
            ++ran;
            pool.post([&] { ++ran; });
            pool.submit([&] { ++ran; }).wait();
        });
    };
    muster::test::race(
        rounds, submits, [&](std::size_t round) { pool.resize(1 + round % 7); },
        [&](std::size_t round) { pool.resize(1 + round * 5 % 4); });
    pool.wait_idle();
    CHECK(ran == 3 * rounds);

    muster::test::race(20, [&](std::size_t round) {
        pool.resize(1 + round % 5);
        submits(round);
        pool.wait_idle();
        CHECK(ran == 3 * (rounds + round + 1));
    });
    const muster::ExecutorStats stats = pool.stats();
    CHECK(stats.completed == ran);
    CHECK(stats.pending == 0);
    CHECK(stats.running == 0);
}

TEST_CASE("a pool may be destroyed while its workers end") {
    for (int i = 0; i < 100; ++i) {
        std::atomic<int> ran{0};
        {
            ThreadPoolExecutor pool(4);
            for (int k = 0; k < 20; ++k) pool.post([&] { ++ran; });
            pool.resize(1 + i % 3);
        }
        CHECK(ran == 20);
    }
}

}  // namespace thread_pool_resize_test
