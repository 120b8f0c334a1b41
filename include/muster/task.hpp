// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <utility>

#include <muster/detail/ref.hpp>
#include <muster/detail/runnable.hpp>
#include <muster/detail/task.hpp>
#include <muster/detail/task_owner.hpp>

namespace muster {

/// A task that an executor took: calling it runs it, once; dropping it cancels its future.
///
///     void take(muster::Task task) { threads_.emplace_back([task = std::move(task)]() mutable { task(); }); }
///
/// Move-only. A call on a moved-from or run task does nothing.
class Task {
  public:
    template <std::derived_from<detail::Runnable> Made>
    explicit Task(detail::Ref<Made> task) noexcept
        : owner_{task->owner()}, runnable_{task.detach()} {}

    Task(Task&& other) noexcept
        : owner_{other.owner_}, runnable_{std::exchange(other.runnable_, nullptr)} {}
    Task& operator=(Task other) noexcept {
        std::swap(owner_, other.owner_);
        std::swap(runnable_, other.runnable_);
        return *this;
    }
    ~Task() {
        if (runnable_) runnable_->abandon();
    }

    /// Runs it in this thread; what it throws goes to its future.
    void operator()() noexcept {
        if (runnable_) owner_->execute(*std::exchange(runnable_, nullptr));
    }

    /// Its link, still owned by this.
    [[nodiscard]] detail::Runnable& runnable() noexcept { return *runnable_; }

    /// Its link for a queue that allocates nothing. Whoever holds it calls `run` or `abandon`.
    [[nodiscard]] detail::Runnable& detach() noexcept { return *std::exchange(runnable_, nullptr); }

  private:
    detail::TaskOwner* owner_;
    detail::Runnable* runnable_;
};

}  // namespace muster
