// SPDX-License-Identifier: MIT
#pragma once

#include <version>

#if defined(__cpp_lib_jthread)
#include <stop_token>
#else
#include <atomic>
#include <memory>
#endif

namespace muster {

#if defined(__cpp_lib_jthread)

/// What a task looks at to learn that it should stop: `token.stop_requested()`.
///
///     auto task = pool.submit([](muster::StopToken stop) { while (!stop.stop_requested()) step(); });
///     task.request_stop();
using StopToken = std::stop_token;

/// The other end of a `StopToken`: `request_stop()`.
using StopSource = std::stop_source;

#else

/// What a task looks at to learn that it should stop. Where the standard library has
/// `std::stop_token`, it is that.
class StopToken {
  public:
    StopToken() = default;
    [[nodiscard]] bool stop_requested() const noexcept {
        return requested_ && requested_->load(std::memory_order_acquire);
    }
    [[nodiscard]] bool stop_possible() const noexcept { return requested_ != nullptr; }

  private:
    friend class StopSource;
    explicit StopToken(std::shared_ptr<std::atomic<bool>> requested)
        : requested_{std::move(requested)} {}
    std::shared_ptr<std::atomic<bool>> requested_;
};

/// The other end of a `StopToken`.
class StopSource {
  public:
    [[nodiscard]] StopToken get_token() const { return StopToken(requested_); }
    [[nodiscard]] bool stop_requested() const noexcept {
        return requested_->load(std::memory_order_acquire);
    }
    bool request_stop() const noexcept {
        return !requested_->exchange(true, std::memory_order_acq_rel);
    }

  private:
    std::shared_ptr<std::atomic<bool>> requested_ = std::make_shared<std::atomic<bool>>(false);
};

#endif

}  // namespace muster
