// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <mutex>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/task_options.hpp>

namespace muster::detail {

/// How long the `nth` retry waits, counted from 1: `first`, doubled for each one before it. What
/// would be longer than can be represented is as long as can be.
[[nodiscard]] constexpr std::chrono::nanoseconds retry_delay(std::chrono::nanoseconds first,
                                                             std::size_t nth) noexcept {
    using std::chrono::nanoseconds;
    if (first <= nanoseconds::zero()) return nanoseconds::zero();
    const std::size_t doublings = nth - 1;
    if (doublings >= 63 || first.count() > nanoseconds::max().count() >> doublings)
        return (nanoseconds::max)();
    return nanoseconds(first.count() << doublings);
}

/// What a task has besides its callable when its options ask for more than a priority. The worker,
/// the timers and those who cancel it or ask it to stop meet here: all but `options` is under `mutex`.
struct Attempts {
    explicit Attempts(TaskOptions&& wanted)
        : options{std::move(wanted)}, retries_left{options.retries} {}

    const TaskOptions options;
    std::mutex mutex;
    std::size_t retries_left;
    /// When the timers call: while it runs, its time limit; while it is pending, its next start.
    Deadline alarm = std::nullopt;
    std::exception_ptr error = nullptr;  ///< Of the last attempt, or that its time was up.
    bool timed_out = false;              ///< The last attempt ran past its time limit.
    bool stop_requested = false;         ///< By who holds the future: no further attempt.
    bool queued = true;                  ///< It is in a queue of its executor.

    /// Whether this is not the first attempt.
    [[nodiscard]] bool tried() const noexcept { return retries_left != options.retries; }
};

}  // namespace muster::detail
