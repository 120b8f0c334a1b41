// SPDX-License-Identifier: MIT
#pragma once

#include <muster/process_pool_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <unistd.h>

#include <cstddef>
#include <string>

// For TEST_CASE_TEMPLATE: the kinds of pool that Python's cases run over.
#define PROCESS_KINDS \
    muster::conformance::Spawn, muster::conformance::Fork, muster::conformance::ForkServer
#define EVERY_KIND muster::conformance::Threads, PROCESS_KINDS

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

template <StartMethod method>
struct Processes {
    using Pool = ProcessPoolExecutor;
    using Broken = BrokenProcessPool;

    static ProcessPoolOptions options(std::size_t workers = 5) {
        return {.max_workers = workers, .start_method = method};
    }
    static int worker() { return ::getpid(); }
};
struct Spawn : Processes<StartMethod::spawn> {
    static constexpr const char* name = "spawn";
};
struct Fork : Processes<StartMethod::fork> {
    static constexpr const char* name = "fork";
};
struct ForkServer : Processes<StartMethod::forkserver> {
    static constexpr const char* name = "forkserver";
};

/// Calls `fn` with the kind of that name: for programs, which get it as their argument.
template <typename F>
void with_kind(const std::string& name, F fn) {
    if (name == Threads::name) fn(Threads{});
    if (name == Spawn::name) fn(Spawn{});
    if (name == Fork::name) fn(Fork{});
    if (name == ForkServer::name) fn(ForkServer{});
}

}  // namespace muster::conformance
