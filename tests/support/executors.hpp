// SPDX-License-Identifier: MIT
#pragma once

#include <muster/inline_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <concepts>
#include <cstddef>

#include "support/process_pool.hpp"

// For TEST_CASE_TEMPLATE: what every executor promises, what those do that have workers, and what
// only those can that share the test's memory. What the first two are given to run has neither
// captures nor references, so that a worker may be another process.
#define EVERY_EXECUTOR muster::InlineExecutor, muster::ThreadPoolExecutor, muster::test::ProcessPool
#define EVERY_POOL muster::ThreadPoolExecutor, muster::test::ProcessPool
#define EVERY_LOCAL_EXECUTOR muster::InlineExecutor, muster::ThreadPoolExecutor

namespace muster::test {

/// An executor with so many workers, if it has workers.
template <typename E>
E with_workers(std::size_t count) {
    if constexpr (std::constructible_from<E, std::size_t>)
        return E(count);
    else
        return E();
}

}  // namespace muster::test
