// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <muster/detail/call.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/thread_record.hpp>
#include <muster/errors.hpp>

namespace muster::threading {

/// How a `Thread` is made.
struct ThreadOptions {
    /// `Thread-1`, `Thread-2`, ... if empty. The system shows its first 15 bytes.
    std::string name = {};
    /// Nobody waits for it: when its handle goes, or the process ends, it is asked to stop and left
    /// to itself.
    bool daemon = false;
};

/// A thread that runs one call.
///
///     muster::threading::Thread thread{[](std::string who) { greet(who); }, "world"};
///     thread.start();
///     thread.join();
///
/// The call gets copies of its arguments, a string literal as a `std::string`. If `fn` cannot be
/// called with them alone, but with a `muster::StopToken` before them, it is given one.
///
/// An exception that leaves `fn` ends the thread, and prints to stderr:
///
///     muster: thread 'Thread-1' ended by an exception: <what>
///
/// | state     | start()                  | join()                   | destructor                |
/// |-----------|--------------------------|--------------------------|---------------------------|
/// | not begun | starts it                | throws InvalidStateError | does nothing              |
/// | alive     | throws InvalidStateError | waits                    | requests a stop and joins |
/// | daemon    | throws InvalidStateError | waits                    | requests a stop           |
/// | ended     | throws InvalidStateError | returns at once          | does nothing              |
///
/// A daemon runs on after that, until the program ends wherever the daemon is then. Wherever its
/// handle is, the end of the process asks it to stop: `exit` when pools have finished and static
/// objects are gone, a `Process` or a worker when it has done what it was to do. Callbacks of its
/// token are called by the thread that exits, and delay the end as long as they take.
///
/// A thread that is destroyed by its own call runs on, too. In a copy of the process, made by `fork`,
/// the threads of the original have ended: they wait nowhere, but what they held stays held.
///
/// Move-only; calls on a moved-from thread throw `InvalidStateError`.
///
/// Thread safety: all `const` members.
class [[nodiscard("a thread that is not kept is asked to stop and joined at once")]] Thread {
  public:
    /// Keeps the call, for `start`. **Throws**: what copying the arguments throws.
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, Thread> &&
                 !std::same_as<std::remove_cvref_t<F>, ThreadOptions>)
    explicit Thread(F&& fn, Args&&... args)
        : Thread(ThreadOptions{}, std::forward<F>(fn), std::forward<Args>(args)...) {}
    /// As above, with options: `Thread t({.name = "reader"}, fn, args...)`.
    template <typename F, typename... Args>
    Thread(const ThreadOptions& options, F&& fn, Args&&... args) {
        if constexpr (detail::check_callable<F, Args...>())
            record_ = make_record(options, detail::make_body(detail::bind_for_thread(
                                               std::forward<F>(fn), std::forward<Args>(args)...)));
    }
    Thread(Thread&&) noexcept = default;
    Thread& operator=(Thread other) noexcept {
        std::swap(record_, other.record_);
        return *this;
    }
    ~Thread() {
        if (record_) record_->abandon();
    }

    /// Starts it. The arguments are the running call's from now on, and are destroyed when it has
    /// returned.
    ///
    /// **Throws**: `InvalidStateError` when it was started before. `std::system_error` when the
    /// system has no room for a thread: you may try again.
    void start() const { detail::ThreadRecord::start(owned()); }

    /// **Blocks** until the thread has ended, and its thread-local objects are gone.
    ///
    /// **Throws**: `InvalidStateError` when it was not started, or is the calling thread.
    void join() const { owned()->join(std::nullopt); }
    /// As `join`, for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool join_for(std::chrono::duration<Rep, Period> timeout) const {
        return owned()->join(detail::deadline_after(timeout));
    }

    /// Whether it was started and has not ended.
    [[nodiscard]] bool is_alive() const { return owned()->alive(); }
    [[nodiscard]] const std::string& name() const { return owned()->name(); }
    [[nodiscard]] bool daemon() const { return owned()->daemon(); }
    /// The system's number for the thread; 0 before `start`.
    [[nodiscard]] long long id() const { return owned()->id(); }

    /// Asks it to stop: its `StopToken` says so, also when it is started later. True for the first
    /// request.
    bool request_stop() const { return owned()->stop().request_stop(); }

  private:
    friend class Timer;
    explicit Thread(std::unique_ptr<detail::ThreadBody> body)
        : record_{make_record({}, std::move(body))} {}

    static std::shared_ptr<detail::ThreadRecord> make_record(
        ThreadOptions options, std::unique_ptr<detail::ThreadBody> body) {
        static constinit std::atomic<unsigned long> number{0};
        if (options.name.empty())
            options.name =
                "Thread-" + std::to_string(number.fetch_add(1, std::memory_order_relaxed) + 1);
        return std::make_shared<detail::ThreadRecord>(std::move(options.name), options.daemon,
                                                      std::move(body));
    }
    [[nodiscard]] const std::shared_ptr<detail::ThreadRecord>& owned() const {
        if (!record_) throw InvalidStateError("muster: this thread was moved from");
        return record_;
    }

    std::shared_ptr<detail::ThreadRecord> record_;
};

/// What can be asked about a thread, however it was started. Copies are of the same thread.
///
/// Thread safety: all members.
class ThreadInfo {
  public:
    /// As it was given; `MainThread` for the one that runs main; else what the system calls it.
    [[nodiscard]] const std::string& name() const noexcept { return record_->name(); }
    /// The system's number for the thread.
    [[nodiscard]] long long id() const { return record_->id(); }
    /// Whether it has not ended.
    [[nodiscard]] bool is_alive() const { return record_->alive(); }
    /// Whether it is a `Thread` with `ThreadOptions::daemon`.
    [[nodiscard]] bool daemon() const noexcept { return record_->daemon(); }

  private:
    friend ThreadInfo current_thread();
    explicit ThreadInfo(std::shared_ptr<detail::ThreadRecord> record) noexcept
        : record_{std::move(record)} {}

    std::shared_ptr<detail::ThreadRecord> record_;
};

/// The thread that calls it.
///
///     std::puts(muster::threading::current_thread().name().c_str());
inline ThreadInfo current_thread() { return ThreadInfo(detail::ThreadRecord::current()); }

}  // namespace muster::threading
