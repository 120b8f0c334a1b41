// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <muster/detail/call.hpp>
#include <muster/detail/threading/thread_record.hpp>
#include <muster/threading/event.hpp>
#include <muster/threading/thread.hpp>

namespace muster::threading {

/// Runs one call after a time, in a thread of its own, unless it is cancelled before.
///
///     muster::threading::Timer timer{30s, [] { std::puts("are you still there?"); }};
///     timer.start();
///     if (read_line()) timer.cancel();
///
/// The time counts from `start`. The call and its exceptions are treated as a `Thread`'s. Its
/// destructor cancels it, asks a call that runs already to stop, and waits for its end.
///
/// Thread safety: all `const` members.
class [[nodiscard("a timer that is not kept is cancelled at once")]] Timer {
  public:
    /// Keeps the call, for `start`. **Throws**: what copying the arguments throws.
    template <typename Rep, typename Period, typename F, typename... Args>
    Timer(std::chrono::duration<Rep, Period> interval, F&& fn, Args&&... args)
        : thread_{body(cancelled_, interval, std::forward<F>(fn), std::forward<Args>(args)...)} {}
    Timer(Timer&&) noexcept = default;
    Timer& operator=(Timer other) noexcept {
        std::swap(cancelled_, other.cancelled_);
        std::swap(thread_, other.thread_);
        return *this;
    }
    ~Timer() {
        if (thread_.record_) cancel();  // Else it was moved from, and another has the event.
    }

    /// Starts to wait. **Throws**: as `Thread::start`.
    void start() const { thread_.start(); }

    /// Ends the waiting, now or when it is started. A call that has begun goes on.
    void cancel() const { cancelled_.set(); }

    /// **Blocks** until it was cancelled or the call has returned. **Throws**: as `Thread::join`.
    void join() const { thread_.join(); }
    /// As `join`, for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool join_for(std::chrono::duration<Rep, Period> timeout) const {
        return thread_.join_for(timeout);
    }

    /// Whether it was started and has not ended.
    [[nodiscard]] bool is_alive() const { return thread_.is_alive(); }
    /// As its thread's: `Thread-1`, `Thread-2`, ...
    [[nodiscard]] const std::string& name() const { return thread_.name(); }
    /// Always false: who lets go of a timer waits for it.
    [[nodiscard]] bool daemon() const { return thread_.daemon(); }
    /// The system's number for its thread; 0 before `start`.
    [[nodiscard]] long long id() const { return thread_.id(); }

    /// As `Thread::request_stop`, for the call, also if it begins later. The waiting goes on: that is
    /// ended by `cancel`.
    bool request_stop() const { return thread_.request_stop(); }

  private:
    template <typename Duration, typename F, typename... Args>
    static std::unique_ptr<detail::ThreadBody> body(const Event& cancelled, Duration interval,
                                                    F&& fn, Args&&... args) {
        if constexpr (detail::check_callable<F, Args...>())
            return detail::make_body(
                [cancelled, interval,
                 call = detail::bind_for_thread(std::forward<F>(fn), std::forward<Args>(args)...)](
                    const StopSource& stop) mutable {
                    if (!cancelled.wait_for(interval)) call(stop);
                });
        else
            return nullptr;
    }

    Event cancelled_;
    Thread thread_;
};

}  // namespace muster::threading
