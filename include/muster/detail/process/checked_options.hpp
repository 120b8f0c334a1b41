// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>

#include <muster/process_pool_options.hpp>

namespace muster::detail {

/// How many workers a process pool may have. **Throws**: `std::invalid_argument`.
inline std::size_t checked_workers(std::size_t max_workers) {
    constexpr std::size_t most = 1'000'000;  // More is a negative number gone wrong.
    if (max_workers < 1 || max_workers > most)
        throw std::invalid_argument("muster: max_workers must be at least 1, and at most " +
                                    std::to_string(most) +
                                    "; leave it out for the number of usable CPUs");
    return max_workers;
}

/// The same, of options that make sense. **Throws**: `std::invalid_argument`.
inline std::size_t checked_workers(const ProcessPoolOptions& options) {
    if (options.max_tasks_per_child == std::size_t{0})
        throw std::invalid_argument(
            "muster: max_tasks_per_child must be at least 1; leave it out for no limit");
    if (options.start_timeout && *options.start_timeout <= std::chrono::nanoseconds(0))
        throw std::invalid_argument("muster: start_timeout must be longer than nothing");
    return checked_workers(options.max_workers);
}

}  // namespace muster::detail
