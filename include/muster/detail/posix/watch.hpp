// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <thread>
#include <vector>

#include <muster/detail/deadline.hpp>
#include <muster/detail/posix/syscall.hpp>

namespace muster::detail::posix {

/// Waits for any of several descriptors to have something to read, or an end.
///
/// Thread safety: none; one thread at a time.
class Watch {
  public:
    void clear() noexcept { watched_.clear(); }

    /// Adds a descriptor and returns its place. A negative one is never ready.
    std::size_t add(int fd) {
        watched_.push_back({fd, POLLIN, 0});
        return watched_.size() - 1;
    }

    [[nodiscard]] bool ready(std::size_t place) const noexcept {
        return watched_[place].revents != 0;
    }

    /// **Blocks** until one is ready or the deadline has passed; may return early for no reason. If
    /// the system refuses, a few milliseconds later: it may go on, or say why, by `refused()`.
    void wait(const Deadline& deadline) noexcept {
        ::timespec timeout{};
        if (deadline) {
            const auto now = Clock::now();
            const auto left = std::max(*deadline, now) - now;
            const auto whole = std::chrono::duration_cast<std::chrono::seconds>(left);
            timeout.tv_sec = static_cast<std::time_t>(whole.count());
            timeout.tv_nsec = static_cast<long>(
                std::chrono::duration_cast<std::chrono::nanoseconds>(left - whole).count());
        }
        const int count = MUSTER_SYSCALL(ppoll)(watched_.data(), watched_.size(),
                                                deadline ? &timeout : nullptr, nullptr);
        refused_ = count < 0 && errno != EINTR ? errno : 0;  // No memory, or too many.
        if (count < 0)
            for (::pollfd& entry : watched_) entry.revents = 0;
        if (refused_ != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }

    /// The error number of the last wait; 0 if there was none.
    [[nodiscard]] int refused() const noexcept { return refused_; }

  private:
    int refused_ = 0;
    std::vector<::pollfd> watched_;
};

/// Whether there is something to read, or an end, now. Not of a negative descriptor.
inline bool readable(int fd) noexcept {
    ::pollfd entry{fd, POLLIN, 0};
    return MUSTER_SYSCALL(poll)(&entry, 1, 0) > 0;
}

}  // namespace muster::detail::posix
