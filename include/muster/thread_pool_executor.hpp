// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <utility>

#include <muster/detail/thread_engine.hpp>
#include <muster/executor.hpp>
#include <muster/thread_pool_options.hpp>

namespace muster {

/// Runs tasks on a set of threads, by priority and in the order of their submission.
///
///     muster::ThreadPoolExecutor pool({.max_workers = 4});
///     muster::Future<int> square = pool.submit([](int x) { return x * x; }, 7);
///     assert(square.result() == 49);
///
/// | state     | submit()                         | shutdown()         | destructor             |
/// |-----------|----------------------------------|--------------------|------------------------|
/// | running   | queues the task                  | becomes shut down  | shuts down, then waits |
/// | shut down | throws ShutdownError             | waits, if asked to | waits                  |
/// | broken    | its future has BrokenThreadPool  | becomes shut down  | shuts down, then waits |
///
/// Threads are started by tasks that find no idle one. An initializer that throws breaks the pool.
/// A task may wait for another task of the same pool, to any depth and with any number of workers:
/// its worker runs the awaited task itself if no one has begun it.
///
/// Thread safety: any member but the destructor may be called from any thread, tasks included.
class ThreadPoolExecutor
    : public ExecutorInterface<ThreadPoolExecutor, detail::CallsOn<detail::ThreadEngine>> {
  public:
    /// **Throws**: `std::invalid_argument` for `max_workers` below 1.
    explicit ThreadPoolExecutor(ThreadPoolOptions options = {})
        : ExecutorInterface(detail::make_engine(std::move(options))) {}

    /// A pool of `max_workers` threads. **Throws**: `std::invalid_argument` for less than 1.
    template <std::integral Count>
    explicit ThreadPoolExecutor(Count max_workers)
        : ThreadPoolExecutor(ThreadPoolOptions{.max_workers = detail::checked_count(max_workers)}) {
    }

    ~ThreadPoolExecutor() = default;

    /// Queues a task.
    void take(Task task) {
        // Released only when it is queued: a thread that cannot be started cancels the task.
        detail::Runnable& runnable = task.runnable();
        owner().enqueue(runnable, this);
        (void)task.detach();
    }

    /// Refuses further tasks; those accepted before still run, unless `.cancel_futures`. With
    /// `.wait`, returns when they and their callbacks have ended; in a task of this pool, at once.
    void shutdown(ShutdownOptions options = {}) {
        owner().shutdown(options.wait, options.cancel_futures);
    }

    /// Makes it a pool of `max_workers` threads. More are started at once if tasks wait for them;
    /// those that are too many end when they have run their task.
    ///
    /// **Throws**: `std::invalid_argument` for less than 1.
    template <std::integral Count>
    void resize(Count max_workers) {
        owner().resize(detail::checked_count(max_workers));
    }

    /// How many threads there are at most.
    [[nodiscard]] std::size_t max_workers() const noexcept { return owner().max_workers(); }
};
static_assert(Executor<ThreadPoolExecutor>);

}  // namespace muster
