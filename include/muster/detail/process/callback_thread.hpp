// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include <muster/detail/gate.hpp>

namespace muster::detail {

class StateBase;

/// Runs users' callbacks one after the other in a thread of its own, which starts with the first.
/// So one that blocks delays others, but no result. One that waits for what others bring about runs
/// those itself, on top of its stack.
///
/// May be destroyed by one of its own callbacks; those that still wait are run all the same.
class CallbackThread {
  public:
    CallbackThread() = default;
    CallbackThread(const CallbackThread&) = delete;
    CallbackThread& operator=(const CallbackThread&) = delete;
    ~CallbackThread() { end(); }

    /// Has the callbacks of `task` run by this.
    void post(const StateBase& task, std::function<void()> callbacks) {
        {
            std::unique_lock held(shared_->mutex);
            if (!thread_.joinable() && !start()) {
                held.unlock();
                callbacks();  // No thread can be had: late is better than never.
                return;
            }
            shared_->waiting.push_back({&task, std::move(callbacks)});
        }
        shared_->changed.notify_one();
        arrivals_.notify();
    }

    /// Whether the calling thread is the one that runs callbacks.
    [[nodiscard]] bool here() const noexcept {
        return shared_->server.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    /// Where that one waits for what other callbacks bring about.
    [[nodiscard]] Gate& arrivals() noexcept { return arrivals_; }
    /// Runs the callbacks of `task` now, if they wait and this is their thread; else false.
    bool run_here(const StateBase& task) {
        if (!here()) return false;
        std::function<void()> callbacks;
        {
            const std::lock_guard held(shared_->mutex);
            auto& waiting = shared_->waiting;
            const auto found = std::find_if(waiting.begin(), waiting.end(),
                                            [&](const auto& each) { return each.task == &task; });
            if (found == waiting.end()) return false;
            callbacks = std::move(found->callbacks);
            waiting.erase(found);
        }
        callbacks();
        return true;
    }

    /// Runs what waits, then ends the thread. In a callback it is left to end by itself.
    void end() noexcept {
        {
            const std::lock_guard held(shared_->mutex);
            shared_->ending = true;
        }
        shared_->changed.notify_one();
        if (!thread_.joinable()) return;
        thread_.get_id() == std::this_thread::get_id() ? thread_.detach() : thread_.join();
    }

    /// Called before a wait for the end of all other callbacks. If this is itself a callback, those
    /// that wait go on in another thread, and this one ends with it.
    void step_aside() {
        const std::lock_guard held(shared_->mutex);
        if (thread_.get_id() != std::this_thread::get_id()) return;
        thread_.detach();
        (void)start();  // If that fails, the next post tries again.
    }

  private:
    struct Waiting {
        const StateBase* task;
        std::function<void()> callbacks;
    };
    struct Shared {
        std::mutex mutex;
        std::condition_variable changed;
        std::deque<Waiting> waiting;
        std::atomic<std::thread::id> server{};
        bool ending = false;
    };

    /// Requires: the mutex is held.
    bool start() noexcept {
        try {
            thread_ = std::thread([shared = shared_] { serve(*shared); });
            shared_->server.store(thread_.get_id(), std::memory_order_relaxed);
            return true;
        } catch (...) {  // No thread, or no memory for one.
            return false;
        }
    }

    static void serve(Shared& shared) {
        std::unique_lock held(shared.mutex);
        while (shared.server.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
            shared.changed.wait(held, [&] { return shared.ending || !shared.waiting.empty(); });
            if (shared.waiting.empty()) return;
            std::function<void()> callbacks = std::move(shared.waiting.front().callbacks);
            shared.waiting.pop_front();
            held.unlock();
            callbacks();
            callbacks = nullptr;
            held.lock();
        }
    }

    const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
    Gate arrivals_;
    std::thread thread_;
};

}  // namespace muster::detail
