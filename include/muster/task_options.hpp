// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace muster {

/// How one task is to be run: the first argument of `submit`.
///
///     pool.submit({.name = "thumbnail", .priority = 1, .timeout = 2s}, make_thumbnail, path);
struct TaskOptions {
    /// Appears in error messages, and while it runs in `stats().running_names`.
    std::string name = {};
    /// Higher ones are begun first; equals in the order of their submission.
    int priority = 0;
    /// Counted from the task's start. When it is over the future holds `TaskTimeout`. A worker
    /// process is then killed and replaced; on a thread, a task that takes a `StopToken` is asked to
    /// stop, and keeps its thread until it returns.
    std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
    /// How often the task is tried again after a crash, a time-out or an exception, each time with
    /// copies of the callable and the arguments, which must be copyable, and never before the attempt
    /// before it has ended. After `request_stop` there is none. What the last one ends with counts.
    std::size_t retries = 0;
    /// How long the first of them waits; each further one waits twice as long as the one before.
    std::chrono::nanoseconds retry_delay = std::chrono::nanoseconds(0);
};

/// How `map` feeds an executor.
struct MapOptions {
    /// Elements that travel together. 0 chooses by measurement.
    std::size_t chunksize = 0;
    /// How many elements may be taken from the input ahead of the one asked for.
    /// Left out: enough to keep all workers busy. 0 throws `std::invalid_argument`.
    std::optional<std::size_t> buffersize = std::nullopt;
    /// Counted from the call of `map`. When it is over, the next result throws `TimeoutError`.
    std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
};

/// How `shutdown` ends an executor.
struct ShutdownOptions {
    bool wait = true;             ///< Return only when no task runs any more.
    bool cancel_futures = false;  ///< Cancel what has not begun, instead of running it.
};

}  // namespace muster
