// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace muster {

/// What an executor has done so far. Each task counts once: as pending, running, completed, failed,
/// cancelled or timed out. Exact after `wait_idle()`, close to it while tasks run. Where `map` and
/// `for_each` run several elements in one go, on threads, that is one task.
///
///     pool.wait_idle();
///     std::cout << pool.stats().completed << " done, " << pool.stats().failed << " failed\n";
struct ExecutorStats {
    std::size_t pending = 0;                   ///< Accepted, not begun.
    std::size_t running = 0;                   ///< Begun, not ended.
    std::size_t completed = 0;                 ///< Ended with a value.
    std::size_t failed = 0;                    ///< Ended with an exception.
    std::size_t cancelled = 0;                 ///< Will never run.
    std::size_t timed_out = 0;                 ///< Ran past their time limit.
    std::size_t retried = 0;                   ///< Further attempts after one that failed.
    std::chrono::nanoseconds waiting_time{0};  ///< All tasks' time from submit to start, added up.
    std::chrono::nanoseconds running_time{0};  ///< All tasks' time from start to end, added up.
    /// The names of the tasks that are running and have one; also those that ran past their time
    /// limit and keep their thread.
    std::vector<std::string> running_names;
};

/// `ExecutorStats`, and what became of the worker processes.
struct ProcessPoolStats : ExecutorStats {
    std::size_t crashed = 0;    ///< Tasks whose worker died in them; they count as failed.
    std::size_t respawned = 0;  ///< Workers started in the place of one that ended.
    std::vector<int> pids;      ///< Process ids of the live workers.
};

}  // namespace muster
