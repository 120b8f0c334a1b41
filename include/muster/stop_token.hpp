// SPDX-License-Identifier: MIT
#pragma once

#include <version>

#if defined(__cpp_lib_jthread)
#include <stop_token>
#else
#include <atomic>
#include <memory>
#include <utility>
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
    /// Of no source: nobody can ask it to stop.
    StopToken() = default;

    /// Whether it should stop. Thread safety: may be called from any thread.
    [[nodiscard]] bool stop_requested() const noexcept {
        return requested_ && requested_->load(std::memory_order_acquire);
    }
    /// Whether it has a source.
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
    /// A token that sees this source's request.
    [[nodiscard]] StopToken get_token() const { return StopToken(requested_); }
    /// Whether a stop was requested, by this source or a copy of it.
    [[nodiscard]] bool stop_requested() const noexcept {
        return requested_->load(std::memory_order_acquire);
    }
    /// Asks all tokens to stop. True for the first request. Thread safety: may be called from any
    /// thread.
    bool request_stop() const noexcept {
        return !requested_->exchange(true, std::memory_order_acq_rel);
    }

  private:
    std::shared_ptr<std::atomic<bool>> requested_ = std::make_shared<std::atomic<bool>>(false);
};

#endif

}  // namespace muster
