// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include <muster/detail/os.hpp>

namespace muster::detail {

/// Runs what starts processes in a thread that lives as long as this process, because the system may
/// end children with the thread that made them: in the main thread at once, and for all others in a
/// thread of its own, which is made for the first of them.
///
/// Requires: to live as long as the process. Thread safety: one thread at a time.
class StarterThread {
  public:
    /// Runs `work`. **Throws**: what that throws; `std::system_error` if there can be no thread.
    void run(std::function<void()> work) {
        if (os::in_main_thread()) return work();
        if (!started_) std::thread([this] { serve(); }).detach();
        started_ = true;
        std::unique_lock held(mutex_);
        work_ = std::move(work);
        changed_.notify_all();
        changed_.wait(held, [this] { return !work_; });
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    }

  private:
    [[noreturn]] void serve() noexcept {
        os::set_thread_name("muster-starter");
        os::leave_signals_to_others();
        std::unique_lock held(mutex_);
        for (;;) {
            changed_.wait(held, [this] { return work_ != nullptr; });
            try {
                work_();
            } catch (...) {
                error_ = std::current_exception();
            }
            work_ = nullptr;
            changed_.notify_all();
        }
    }

    bool started_ = false;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::function<void()> work_;
    std::exception_ptr error_;
};

}  // namespace muster::detail
