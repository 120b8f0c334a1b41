// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include <muster/detail/shared_state.hpp>

namespace muster::detail {

/// Tells tasks that their time limit has passed, from a thread that exists only once there is one.
class Timers {
  public:
    Timers() = default;
    Timers(const Timers&) = delete;
    Timers& operator=(const Timers&) = delete;

    ~Timers() {
        {
            const std::lock_guard held(mutex_);
            ending_ = true;
        }
        changed_.notify_one();
        if (thread_.joinable()) thread_.join();
    }

    /// Calls `task.expire()` at `when`.
    void add(Clock::time_point when, StateBase& task) {
        const std::lock_guard held(mutex_);
        const auto entry = waiting_.emplace(Key{when, &task}, Ref<StateBase>::share(&task)).first;
        if (!thread_.joinable()) thread_ = std::thread([this] { serve(); });
        if (entry == waiting_.begin()) changed_.notify_one();
    }

    /// Takes it back. A call that has begun goes on.
    void remove(Clock::time_point when, StateBase& task) noexcept {
        Ref<StateBase> dropped;  // Released after the lock.
        const std::lock_guard held(mutex_);
        const auto entry = waiting_.find(Key{when, &task});
        if (entry == waiting_.end()) return;
        dropped = std::move(entry->second);
        waiting_.erase(entry);
    }

  private:
    using Key = std::pair<Clock::time_point, StateBase*>;

    void serve() {
        std::unique_lock held(mutex_);
        while (!ending_) {
            if (waiting_.empty()) {
                changed_.wait(held);
                continue;
            }
            const auto first = waiting_.begin();
            if (Clock::now() < first->first.first) {
                changed_.wait_until(held, Clock::time_point(first->first.first));
                continue;
            }
            const Ref<StateBase> task = std::move(first->second);
            waiting_.erase(first);
            held.unlock();
            task->expire();
            held.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<Key, Ref<StateBase>> waiting_;
    bool ending_ = false;
    std::thread thread_;
};

}  // namespace muster::detail
