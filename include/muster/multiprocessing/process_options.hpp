// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <muster/process_pool_options.hpp>

namespace muster::multiprocessing {

/// How a `Process` is made.
struct ProcessOptions {
    /// `Process-1`, `Process-2`, ... if empty. The process itself knows its first 255 bytes.
    std::string name = {};
    /// Nobody waits for it: when its handle goes, it is ended by SIGTERM.
    bool daemon = false;
    /// With `StartMethod::fork`, it is a copy of this program as it is at `start`.
    StartMethod start_method = StartMethod::spawn;
    /// How long it may take to reach `entry_guard()`. `std::nullopt`: as long as it wants.
    std::optional<std::chrono::nanoseconds> start_timeout = std::chrono::seconds(10);
};

}  // namespace muster::multiprocessing
