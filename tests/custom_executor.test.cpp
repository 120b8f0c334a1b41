// SPDX-License-Identifier: MIT
// ctest: concurrency
// An executor of one's own is three functions: the mixin gives it the rest.
#include <muster/executor.hpp>
#include <muster/task.hpp>
#include <muster/wait.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace custom_executor_test {

namespace {

using namespace std::chrono_literals;

/// Runs each task in a thread of its own.
class ThreadPerTask : public muster::ExecutorInterface<ThreadPerTask> {
  public:
    ~ThreadPerTask() {
        shutdown();
        for (std::thread& thread : threads_) thread.join();
    }

    void take(muster::Task task) {
        const std::lock_guard held(mutex_);
        threads_.emplace_back(std::move(task));
    }
    void shutdown(muster::ShutdownOptions options = {}) { close(options); }
    [[nodiscard]] std::size_t max_workers() const { return 8; }

  private:
    std::mutex mutex_;
    std::vector<std::thread> threads_;
};
static_assert(muster::Executor<ThreadPerTask>);

/// Keeps tasks until it is told what to do with them: an event loop, for instance.
class Deferred : public muster::ExecutorInterface<Deferred> {
  public:
    ~Deferred() { shutdown({.cancel_futures = true}); }

    void take(muster::Task task) { tasks_.push_back(std::move(task)); }
    void shutdown(muster::ShutdownOptions options = {}) {
        if (options.cancel_futures) drop();
        close(options);
    }
    [[nodiscard]] std::size_t max_workers() const { return 1; }

    void run() {
        for (muster::Task& task : std::exchange(tasks_, {})) task();
    }
    void drop() { tasks_.clear(); }

  private:
    std::vector<muster::Task> tasks_;
};
static_assert(muster::Executor<Deferred>);

int total(muster::Executor auto& pool) {
    int sum = 0;
    for (const int square : pool.map([](int x) { return x * x; }, std::vector{1, 2, 3}))
        sum += square;
    return sum;
}

}  // namespace

TEST_CASE("an executor of one's own runs tasks, maps and waits") {
    ThreadPerTask pool;

    CHECK(total(pool) == 14);
    CHECK(pool.submit([](std::string s) { return s + "!"; }, "hi").result() == "hi!");
    CHECK(pool.submit([](muster::StopToken stop) { return stop.stop_requested(); }).result() ==
          false);
    CHECK(pool.try_submit([] { return 1; }).value().result() == 1);
    auto fails = pool.submit([] { throw std::out_of_range("no"); });
    CHECK_THROWS_AS(fails.result(), std::out_of_range);
    CHECK_THROWS_AS(pool.for_each(
                        [](int x) {
                            if (x == 2) throw std::out_of_range("no");
                        },
                        std::vector{1, 2, 3}),
                    std::out_of_range);
    CHECK(pool.submit([] { return 2; }).then(pool, [](int x) { return x + 1; }).result() == 3);
    pool.wait_idle();
    CHECK(pool.stats().pending == 0);
    CHECK(pool.stats().running == 0);

    pool.shutdown();
    CHECK_THROWS_AS((void)pool.submit([] {}), muster::ShutdownError);
}

TEST_CASE("an executor of one's own keeps time limits") {
    ThreadPerTask pool;
    auto task = pool.submit({.name = "endless", .timeout = 1ms}, [](muster::StopToken stop) {
        while (!stop.stop_requested()) std::this_thread::yield();
    });

    CHECK_THROWS_AS(task.result(), muster::TaskTimeout);
    pool.wait_idle();
    CHECK(pool.stats().timed_out == 1);
}

TEST_CASE("an executor of one's own is waited for from inside its tasks") {
    ThreadPerTask pool;
    bool others_done = false;
    auto other = pool.submit([] { std::this_thread::yield(); });
    pool.submit([&] {
            pool.wait_idle();
            others_done = other.done();
        })
        .result();
    CHECK(others_done);
}

TEST_CASE("a task runs when its executor calls it, in whatever thread") {
    Deferred pool;
    auto future = pool.submit([] { return std::this_thread::get_id(); });
    CHECK_FALSE(future.done());
    CHECK(pool.stats().pending == 1);
    CHECK_FALSE(pool.wait_idle_for(0s));

    std::thread runner([&] { pool.run(); });
    const std::thread::id id = runner.get_id();
    runner.join();

    CHECK(future.result() == id);
    CHECK(pool.stats().completed == 1);
    CHECK(pool.wait_idle_for(0s));
}

TEST_CASE("dropping a task cancels its future") {
    Deferred pool;
    bool called = false;
    auto future = pool.submit([] { return 1; });
    auto next = future.then([](int x) { return x; });
    future.add_done_callback([&](const muster::Future<int>& done) { called = done.cancelled(); });

    pool.drop();

    CHECK(future.cancelled());
    CHECK(next.cancelled());
    CHECK(called);
    CHECK(pool.stats().cancelled == 1);
    CHECK(pool.stats().pending == 0);
    CHECK(pool.wait_idle_for(0s));
}

TEST_CASE("a task that was cancelled does nothing when it is called") {
    Deferred pool;
    bool ran = false;
    auto future = pool.submit([&] { ran = true; });
    CHECK(future.cancel());

    pool.run();

    CHECK_FALSE(ran);
    CHECK(pool.stats().cancelled == 1);
    CHECK(pool.stats().completed == 0);
}

TEST_CASE("calling a task twice, or one that was moved from, does nothing") {
    class Keeper : public muster::ExecutorInterface<Keeper> {
      public:
        ~Keeper() { shutdown(); }
        void take(muster::Task task) {
            muster::Task moved = std::move(task);
            moved();
            moved();
            task();  // NOLINT(bugprone-use-after-move): this is what is tested.
        }
        void shutdown(muster::ShutdownOptions options = {}) { close(options); }
        [[nodiscard]] std::size_t max_workers() const { return 1; }
    };
    Keeper pool;
    int calls = 0;

    pool.submit([&] { ++calls; }).result();

    CHECK(calls == 1);
}

TEST_CASE("shutdown of an executor of one's own waits, and may drop its tasks") {
    Deferred pool;
    auto future = pool.submit([] {});
    pool.shutdown({.wait = true, .cancel_futures = true});
    CHECK(future.cancelled());
}

TEST_CASE("futures of an executor of one's own outlive it") {
    muster::Future<int> value;
    muster::Future<void> dropped;
    {
        ThreadPerTask pool;
        Deferred deferred;
        value = pool.submit([] { return 3; });
        dropped = deferred.submit([] {});
    }
    CHECK(value.result() == 3);
    CHECK_THROWS_AS(dropped.result(), muster::CancelledError);
}

TEST_CASE("futures of different executors are waited for together") {
    ThreadPerTask threads;
    Deferred deferred;
    std::vector<muster::Future<int>> futures{threads.submit([] { return 1; }),
                                             deferred.submit([] { return 2; })};
    deferred.run();
    auto [done, not_done] = muster::wait(futures);
    CHECK(done.size() == 2);
    CHECK(not_done.empty());
}

}  // namespace custom_executor_test
