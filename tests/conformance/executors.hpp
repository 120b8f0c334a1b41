// SPDX-License-Identifier: MIT
#pragma once

#include <muster/process_pool_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <string>

#include "support/process_pool.hpp"

// For TEST_CASE_TEMPLATE: the kinds of pool that Python's cases run over.
#define EVERY_KIND muster::conformance::Threads, muster::conformance::Processes

namespace muster::conformance {

/// A kind of pool, and how to make one:
///
///     typename Kind::Pool pool(Kind::options(2));
struct Threads {
    using Pool = ThreadPoolExecutor;
    using Broken = BrokenThreadPool;
    static constexpr const char* name = "threads";

    static ThreadPoolOptions options(std::size_t workers = 5) { return {.max_workers = workers}; }
    /// For tasks: a number that tells the workers apart.
    static int worker() { return ::gettid(); }
};

/// With the start method that ctest names: each file is run with all of them.
struct Processes {
    using Pool = ProcessPoolExecutor;
    using Broken = BrokenProcessPool;
    static constexpr const char* name = "processes";

    static ProcessPoolOptions options(std::size_t workers = 5,
                                      StartMethod method = test::tested_start_method()) {
        // On a busy machine a start may take more than the usual ten seconds.
        return {.max_workers = workers,
                .start_method = method,
                .start_timeout = std::chrono::minutes(5)};
    }
    static int worker() { return ::getpid(); }
};

/// Calls `fn` with the kind of that name: for programs, which get it as their argument.
template <typename F>
void with_kind(const std::string& name, F fn) {
    if (name == Threads::name) fn(Threads{});
    if (name == Processes::name) fn(Processes{});
}

}  // namespace muster::conformance
