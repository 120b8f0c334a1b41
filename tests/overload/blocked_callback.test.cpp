// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// A callback that does not return for long: it holds up the thread it runs in, and nothing else.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

#include "overload/scale.hpp"
#include "support/asleep.hpp"
#include "support/event.hpp"
#include "support/executors.hpp"
#include "support/task_gate.hpp"

namespace overload_blocked_callback_test {

namespace {

using muster::Future;
using muster::test::Event;
using muster::test::patience;
using muster::test::TaskGate;
using namespace std::chrono_literals;

std::size_t triple(std::size_t x) { return 3 * x; }

std::size_t count_of_tasks() { return muster::test::scale("TEST_OVERLOAD_CALLBACKS", 2'000); }

/// A task of the pool whose callback has begun, and ends when it is released.
template <typename Pool>
class BlockedCallback {
  public:
    explicit BlockedCallback(Pool& pool) : task_{pool.submit(TaskGate::pass, gate_.path(), 'a')} {
        task_.add_done_callback([begun = begun_, release = release_](const auto&) {
            begun.set();
            release.wait();
        });
        gate_.open();  // Not before: the callback would run in the thread that adds it.
    }
    [[nodiscard]] bool begins() const { return begun_.wait_for(patience); }
    [[nodiscard]] const Future<char>& task() const { return task_; }
    void release() const { release_.set(); }

  private:
    TaskGate gate_;
    Event begun_;
    Event release_;
    Future<char> task_;
};

/// Whether so many tasks all have their result in time.
bool completes(auto& pool, std::size_t count) {
    std::vector<Future<std::size_t>> tasks;
    for (std::size_t i = 0; i < count; ++i) tasks.push_back(pool.submit(triple, i));
    for (std::size_t i = 0; i < count; ++i)
        if (!tasks[i].wait_for(patience) || tasks[i].result() != 3 * i) return false;
    return true;
}

}  // namespace

TEST_CASE_TEMPLATE("while a callback blocks, other tasks complete and are counted", Pool,
                   EVERY_POOL) {
    Pool pool(2);
    const BlockedCallback<Pool> blocked(pool);
    REQUIRE(blocked.begins());

    CHECK(blocked.task().done());
    CHECK(blocked.task().result() == 'a');
    CHECK(completes(pool, count_of_tasks()));
    CHECK_FALSE(pool.wait_idle_for(1ms));  // Its callback is part of a task.
    blocked.release();

    CHECK(pool.wait_idle_for(patience));
    CHECK(pool.stats().completed == count_of_tasks() + 1);
    CHECK(completes(pool, 10));
    pool.shutdown();
}

TEST_CASE_TEMPLATE("a callback that blocks delays no callback of another pool", Pool, EVERY_POOL) {
    Pool pool(2), other(1);
    const BlockedCallback<Pool> blocked(pool);
    REQUIRE(blocked.begins());

    const BlockedCallback<Pool> of_other(other);

    CHECK(of_other.begins());
}

TEST_CASE("callbacks of a process pool wait for the one that blocks, and none is lost") {
    const std::size_t count = count_of_tasks();
    std::atomic<std::size_t> called{0};
    muster::test::ProcessPool pool(2);
    const BlockedCallback blocked(pool);
    REQUIRE(blocked.begins());
    TaskGate gate;  // No task is done before it has its callback.
    for (int i = 0; i < 2; ++i) pool.post(TaskGate::pass, gate.path(), 'b');
    for (int i = 0; i < 2; ++i) gate.arrival();

    std::vector<Future<std::size_t>> tasks;
    for (std::size_t i = 0; i < count; ++i) {
        tasks.push_back(pool.submit(triple, i));
        tasks.back().add_done_callback([&called](const auto&) { ++called; });
    }
    gate.open();
    for (const auto& task : tasks) REQUIRE(task.wait_for(patience));
    CHECK(called == 0);
    blocked.release();

    CHECK(pool.wait_idle_for(patience));
    CHECK(called == count);
}

TEST_CASE_TEMPLATE("shutdown waits for a callback that blocks, without wait it does not", Pool,
                   EVERY_POOL) {
    Pool pool(2);
    const BlockedCallback<Pool> blocked(pool);
    REQUIRE(blocked.begins());

    pool.shutdown({.wait = false});
    CHECK_THROWS_AS((void)pool.submit(triple, std::size_t{1}), muster::ShutdownError);
    const Event ended;
    std::thread waits([&pool, ended] {
        pool.shutdown();
        ended.set();
    });
    CHECK_FALSE(ended.wait_for(5ms));
    blocked.release();
    CHECK(ended.wait_for(patience));
    waits.join();
}

}  // namespace overload_blocked_callback_test
