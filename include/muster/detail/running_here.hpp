// SPDX-License-Identifier: MIT
#pragma once

namespace muster::detail {

class StateBase;

/// Marks a task as run by this thread, on top of those that it has interrupted by waiting.
///
/// Whoever waits for one of them from above waits in vain: it ends later than the wait.
class RunningHere {
  public:
    explicit RunningHere(const StateBase& task) noexcept : task_{task}, below_{top()} {
        top() = this;
    }
    RunningHere(const RunningHere&) = delete;
    RunningHere& operator=(const RunningHere&) = delete;
    ~RunningHere() { top() = below_; }

    [[nodiscard]] static bool contains(const StateBase& task) noexcept {
        const RunningHere* frame = top();
        while (frame && &frame->task_ != &task) frame = frame->below_;
        return frame != nullptr;
    }

  private:
    static const RunningHere*& top() noexcept {
        static thread_local const RunningHere* newest = nullptr;
        return newest;
    }

    const StateBase& task_;
    const RunningHere* const below_;
};

}  // namespace muster::detail
