// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace muster::detail {

/// Runs users' callbacks one after the other in a thread of its own, which starts with the first.
/// So one that blocks delays others, but no result.
///
/// May be destroyed by one of its own callbacks; those that still wait are run all the same.
class CallbackThread {
  public:
    CallbackThread() = default;
    CallbackThread(const CallbackThread&) = delete;
    CallbackThread& operator=(const CallbackThread&) = delete;
    ~CallbackThread() { end(); }

    void post(std::function<void()> callback) {
        {
            std::unique_lock held(shared_->mutex);
            if (!thread_.joinable() && !start()) {
                held.unlock();
                callback();  // No thread can be had: late is better than never.
                return;
            }
            shared_->waiting.push_back(std::move(callback));
        }
        shared_->changed.notify_one();
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

    /// Called before a wait for what other callbacks do. If this is itself a callback, those that
    /// wait go on in another thread, and this one ends with it.
    void step_aside() noexcept {
        const std::lock_guard held(shared_->mutex);
        if (thread_.get_id() != std::this_thread::get_id()) return;
        thread_.detach();
        (void)start();
    }

  private:
    struct Shared {
        std::mutex mutex;
        std::condition_variable changed;
        std::deque<std::function<void()>> waiting;
        bool ending = false;
        unsigned threads = 0;  // How many there were. The last one serves.
    };

    /// Requires: the mutex is held.
    bool start() noexcept {
        try {
            thread_ = std::thread(
                [shared = shared_, number = ++shared_->threads] { serve(*shared, number); });
            return true;
        } catch (const std::system_error&) {
            return false;
        }
    }

    static void serve(Shared& shared, unsigned number) {
        std::unique_lock held(shared.mutex);
        while (number == shared.threads) {
            shared.changed.wait(held, [&] { return shared.ending || !shared.waiting.empty(); });
            if (shared.waiting.empty()) return;
            std::function<void()> callback = std::move(shared.waiting.front());
            shared.waiting.pop_front();
            held.unlock();
            callback();
            callback = nullptr;
            held.lock();
        }
    }

    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
    std::thread thread_;
};

}  // namespace muster::detail
