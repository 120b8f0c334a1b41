// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <utility>
#include <vector>

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
                running_.emplace_back(&stop, stop);
                return;
            }
        }
        (void)stop.request_stop();
    }

    /// The one that was added, not a copy of it.
    void remove(const StopSource& stop) noexcept {
        const std::lock_guard held(lock_);
        std::erase_if(running_, [&](const Entry& each) { return each.first == &stop; });
    }

    void ask_all() noexcept {
        std::vector<Entry> all;
        {
            const std::lock_guard held(lock_);
            asked_ = true;
            all.swap(running_);
        }
        // Without the lock: what is called then may start threads, or wait for the ends of others.
        for (const auto& [added, stop] : all) (void)stop.request_stop();
    }

  private:
    using Entry = std::pair<const StopSource*, StopSource>;

    std::mutex lock_;
    std::vector<Entry> running_;
    bool asked_ = false;
};

}  // namespace muster::detail
