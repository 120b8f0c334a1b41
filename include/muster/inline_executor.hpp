// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include <muster/executor.hpp>

namespace muster {

/// Runs each task inside `submit`, in the calling thread. For debugging and tests: the same program,
/// one step after the other.
///
///     muster::InlineExecutor inline_executor;
///     assert(inline_executor.submit([] { return 42; }).done());
///
/// Thread safety: all members; tasks submitted by different threads run in those threads.
class InlineExecutor : public ExecutorInterface<InlineExecutor> {
  public:
    InlineExecutor() = default;
    ~InlineExecutor() { shutdown(); }

    /// Runs the task.
    void take(Task task) noexcept { task(); }

    /// Refuses further tasks; with `.wait`, returns when those of other threads have ended too.
    void shutdown(ShutdownOptions options = {}) { close(options); }

    /// One: the calling thread.
    [[nodiscard]] std::size_t max_workers() const noexcept { return 1; }
};
static_assert(Executor<InlineExecutor>);

}  // namespace muster
