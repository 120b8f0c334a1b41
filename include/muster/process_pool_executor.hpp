// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <utility>

#include <muster/detail/process/process_engine.hpp>
#include <muster/detail/process/remote_calls.hpp>
#include <muster/entry_guard.hpp>
#include <muster/exception.hpp>
#include <muster/executor.hpp>
#include <muster/process_pool_options.hpp>

namespace muster {

/// Runs tasks in worker processes: what `ThreadPoolExecutor` does, and a crash costs one task.
///
///     int main() {
///         muster::entry_guard();
///         muster::ProcessPoolExecutor pool;
///         std::cout << pool.submit([](int x) { return x * x; }, 7).result() << '\n';
///     }
///
/// Callables may be function pointers, lambdas without captures, function objects without data or
/// with serializable data, and pointers to members; arguments and results must be serializable.
/// Nothing is registered. What does not fit does not compile.
///
/// | state     | submit()                         | shutdown()         | destructor             |
/// |-----------|----------------------------------|--------------------|------------------------|
/// | running   | hands the task to a worker       | becomes shut down  | shuts down, then waits |
/// | shut down | throws ShutdownError             | waits, if asked to | waits                  |
/// | broken    | its future has BrokenProcessPool | becomes shut down  | shuts down, then waits |
///
/// Workers are started by tasks that find no idle one. If one dies, the future of the task it was
/// running has `WorkerCrashed`, a new one takes its place, and all other tasks are run. Only workers
/// that cannot start, three in a row while no other takes tasks, or an initializer that throws, break
/// the pool. Workers end with the pool, and with this process however it ends.
///
/// Callbacks run in a thread kept for them. Thread safety: any member but the destructor may be
/// called from any thread, callbacks included.
class ProcessPoolExecutor : public ExecutorInterface<ProcessPoolExecutor, detail::RemoteCalls> {
  public:
    /// **Throws**: `std::invalid_argument` for `max_workers` below 1.
    explicit ProcessPoolExecutor(ProcessPoolOptions options = {})
        : ExecutorInterface(detail::make_engine(std::move(options))) {}

    /// A pool of `max_workers` processes. **Throws**: `std::invalid_argument` for less than 1.
    template <std::integral Count>
    explicit ProcessPoolExecutor(Count max_workers)
        : ProcessPoolExecutor(
              ProcessPoolOptions{.max_workers = detail::checked_count(max_workers)}) {}

    ~ProcessPoolExecutor() = default;

    /// Takes an encoded task.
    void take(detail::RemoteCalls::Handle task) { owner().take(std::move(task), this); }

    /// Refuses further tasks; those accepted before still run, unless `.cancel_futures`. With
    /// `.wait`, returns when they and their callbacks have ended and the workers are gone; in a
    /// callback of this pool, at once.
    void shutdown(ShutdownOptions options = {}) {
        owner().shutdown(options.wait, options.cancel_futures);
    }

    /// Has the pool use `max_workers` processes from now on. More are started at once if tasks wait
    /// for them; surplus ones end when they have no task.
    ///
    /// **Throws**: `std::invalid_argument` for less than 1.
    template <std::integral Count>
    void resize(Count max_workers) {
        owner().resize(detail::checked_count(max_workers));
    }

    /// Asks all workers to end now, by SIGTERM, and shuts the pool down without waiting: running
    /// tasks get `WorkerCrashed`, those that have not begun `BrokenProcessPool`. Workers that are
    /// still there after a second are killed.
    void terminate_workers() { owner().end_workers(true); }

    /// As `terminate_workers`, by SIGKILL, which no worker can ignore.
    void kill_workers() { owner().end_workers(false); }

    /// How many worker processes there are at most.
    [[nodiscard]] std::size_t max_workers() const noexcept { return owner().max_workers(); }
};
static_assert(Executor<ProcessPoolExecutor>);

}  // namespace muster
