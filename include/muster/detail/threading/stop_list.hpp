// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <mutex>
#include <utility>

#include <muster/detail/spin.hpp>
#include <muster/stop_token.hpp>

namespace muster::detail {

/// Threads that run and will be asked to stop. Thread safety: all members.
class StopList {
  public:
    /// Of a thread that is about to start: it is asked at once if the others have been.
    /// **Throws**: `std::bad_alloc`.
    void add(const StopSource& stop) {
        {
            const std::lock_guard held(lock_);
            if (!asked_) {
                running_.emplace(&stop, stop);
                return;
            }
        }
        (void)stop.request_stop();
    }

    void remove(const StopSource& stop) noexcept {
        const std::lock_guard held(lock_);
        running_.erase(&stop);
    }

    void ask_all() noexcept {
        std::map<const StopSource*, const StopSource> all;
        {
            const std::lock_guard held(lock_);
            asked_ = true;
            all.swap(running_);
        }
        // Without the lock: what is called then may start threads, or wait for the ends of others.
        for (const auto& [key, stop] : all) (void)stop.request_stop();
    }

  private:
    SpinLock lock_;
    std::map<const StopSource*, const StopSource> running_;  // Known by the addresses of their own.
    bool asked_ = false;
};

}  // namespace muster::detail
