// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace muster::detail {

class TaskOwner;

/// One stretch of this thread's stack in which tasks of an executor run.
struct Frame {
    TaskOwner* owner;
    std::size_t tasks;
    void* worker;  // Null where the thread is not one of the executor's workers.
    Frame* below;
    bool waits_for_idle = false;
};

/// The newest of this thread.
inline Frame*& frames() noexcept {
    static thread_local Frame* top = nullptr;
    return top;
}

/// Puts a frame on top of the others while it lives.
class FrameGuard {
  public:
    FrameGuard(TaskOwner& owner, std::size_t tasks, void* worker = nullptr) noexcept
        : frame_{&owner, tasks, worker, frames(), false} {
        frames() = &frame_;
    }
    FrameGuard(const FrameGuard&) = delete;
    FrameGuard& operator=(const FrameGuard&) = delete;
    ~FrameGuard() { frames() = frame_.below; }
    Frame& operator*() noexcept { return frame_; }

  private:
    Frame frame_;
};

}  // namespace muster::detail
