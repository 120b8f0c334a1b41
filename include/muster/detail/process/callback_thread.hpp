// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace muster::detail {

/// Runs users' callbacks one after the other in a thread of its own, which starts with the first.
/// So one that blocks delays others, but no result.
class CallbackThread {
  public:
    CallbackThread() = default;
    CallbackThread(const CallbackThread&) = delete;
    CallbackThread& operator=(const CallbackThread&) = delete;
    ~CallbackThread() { end(); }

    void post(std::function<void()> callback) {
        {
            const std::lock_guard held(mutex_);
            waiting_.push_back(std::move(callback));
            if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
        }
        changed_.notify_one();
    }

    /// Runs what waits, then ends the thread. Not to be called by a callback.
    void end() noexcept {
        {
            const std::lock_guard held(mutex_);
            ending_ = true;
        }
        changed_.notify_one();
        if (thread_.joinable()) thread_.join();
    }

  private:
    void serve() {
        std::unique_lock held(mutex_);
        for (;;) {
            changed_.wait(held, [this] { return ending_ || !waiting_.empty(); });
            if (waiting_.empty()) return;
            const std::function<void()> callback = std::move(waiting_.front());
            waiting_.pop_front();
            held.unlock();
            callback();
            held.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> waiting_;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace muster::detail
