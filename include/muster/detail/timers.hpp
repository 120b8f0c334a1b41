// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <muster/detail/shared_state.hpp>

namespace muster::detail {

/// Tells tasks that their time limit or the delay before their next attempt has passed, from a
/// thread that exists only once there is one to tell.
///
/// May be destroyed in that thread: the last handle of a task may be the one it holds.
class Timers {
  public:
    Timers() = default;
    Timers(const Timers&) = delete;
    Timers& operator=(const Timers&) = delete;

    ~Timers() {
        {
            const std::lock_guard held(shared_->mutex);
            shared_->ending = true;
        }
        shared_->changed.notify_one();
        if (!thread_.joinable()) return;
        thread_.get_id() == std::this_thread::get_id() ? thread_.detach() : thread_.join();
    }

    /// Calls `task.alarm(when)` at `when`.
    void add(Clock::time_point when, StateBase& task) {
        const std::lock_guard held(shared_->mutex);
        if (!thread_.joinable()) thread_ = std::thread([shared = shared_] { serve(*shared); });
        auto& waiting = shared_->waiting;
        const auto entry = waiting.emplace(Key{when, &task}, Ref<StateBase>::share(&task)).first;
        if (entry == waiting.begin()) shared_->changed.notify_one();
    }

    /// Takes it back. A call that has begun goes on.
    void remove(Clock::time_point when, StateBase& task) noexcept {
        Ref<StateBase> dropped;  // Released after the lock.
        const std::lock_guard held(shared_->mutex);
        const auto entry = shared_->waiting.find(Key{when, &task});
        if (entry == shared_->waiting.end()) return;
        dropped = std::move(entry->second);
        shared_->waiting.erase(entry);
    }

    /// All that wait for their moment.
    [[nodiscard]] std::vector<Ref<StateBase>> waiting() const {
        std::vector<Ref<StateBase>> states;
        const std::lock_guard held(shared_->mutex);
        for (const auto& [key, state] : shared_->waiting) states.push_back(state);
        return states;
    }

  private:
    using Key = std::pair<Clock::time_point, StateBase*>;

    struct Shared {
        std::mutex mutex;
        std::condition_variable changed;
        std::map<Key, Ref<StateBase>> waiting;
        bool ending = false;
    };

    static void serve(Shared& shared) {
        std::unique_lock held(shared.mutex);
        while (!shared.ending) {
            if (shared.waiting.empty()) {
                shared.changed.wait(held);
                continue;
            }
            const auto first = shared.waiting.begin();
            const Clock::time_point when = first->first.first;
            if (Clock::now() < when) {
                shared.changed.wait_until(held, when);
                continue;
            }
            Ref<StateBase> task = std::move(first->second);
            shared.waiting.erase(first);
            held.unlock();
            task->alarm(when);
            task = {};
            held.lock();
        }
    }

    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
    std::thread thread_;
};

}  // namespace muster::detail
