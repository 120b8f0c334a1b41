// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <muster/detail/call.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/process/child.hpp>
#include <muster/detail/process/remote_call.hpp>
#include <muster/entry_guard.hpp>
#include <muster/errors.hpp>
#include <muster/multiprocessing/process_options.hpp>

namespace muster::multiprocessing {

/// A process that runs one call.
///
///     int main() {
///         muster::entry_guard();
///         muster::multiprocessing::Process process{[](std::string who) { greet(who); }, "world"};
///         process.start();
///         process.join();
///     }
///
/// The callable and its arguments may be what `submit` of a `ProcessPoolExecutor` takes; if `fn`
/// cannot be called with the arguments alone, but with a `muster::StopToken` before them, it is
/// given one. What it returns is ignored. An exception that leaves `fn` ends the process with exit
/// code 1, and prints to stderr:
///
///     muster: process 'Process-1' (pid 4711) ended by an exception: <what>
///
/// | state     | start()                  | join()                   | destructor                |
/// |-----------|--------------------------|--------------------------|---------------------------|
/// | not begun | starts it                | throws InvalidStateError | does nothing              |
/// | alive     | throws InvalidStateError | waits                    | requests a stop and joins |
/// | daemon    | throws InvalidStateError | waits                    | terminates it and joins   |
/// | ended     | throws InvalidStateError | returns at once          | does nothing              |
///
/// A daemon that does not heed SIGTERM is killed after a second. Every process ends with its parent,
/// however that ends. It has a process group of its own, so Ctrl-C reaches the parent alone; the null
/// device as standard input; and of the parent's other descriptors, unless it is a copy, only
/// standard output and error.
///
/// When `fn` has returned or thrown, the process asks each `threading::Thread` and `Timer` to stop
/// that was started in it since `fn` began and is not a daemon, wherever its handle is, and waits for
/// its end; of other threads it waits for none, but it asks the daemons to stop. It ends by
/// `std::exit`, with code 0 when `fn` has returned; a copy made by `StartMethod::fork` writes what
/// waits in buffers and ends by `_exit`.
///
/// While one runs, its parent has a thread that waits for its end: it is reaped then, although nobody
/// joins it. If it has died, which is to end otherwise than by the return of `fn`, others get what it
/// held of semaphores, barriers and queues. But what was taken through a handle that is destroyed
/// before, by `fn` itself or by `std::exit`, stays taken, as it does when `fn` returns.
///
/// In a copy of the parent, made by the application's own `fork`, calls other than `name`, `daemon`,
/// `id` and `pid` throw `InvalidStateError`, and the destructor does nothing.
///
/// Move-only; calls on a moved-from process throw `InvalidStateError`.
///
/// Thread safety: all `const` members. Until `start` has returned, other calls wait.
class [[nodiscard("a process that is not kept is asked to stop and joined at once")]] Process {
  public:
    /// Encodes the call, for `start`. **Throws**: what encoding the arguments throws.
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, Process> &&
                 !std::same_as<std::remove_cvref_t<F>, ProcessOptions>)
    explicit Process(F&& fn, Args&&... args)
        : Process(ProcessOptions{}, std::forward<F>(fn), std::forward<Args>(args)...) {}
    /// As above, with options: `Process p({.name = "reader"}, fn, args...)`.
    template <typename F, typename... Args>
    Process(ProcessOptions options, F&& fn, Args&&... args) {
        using Fn = std::decay_t<F>;
        using Plan = detail::CallPlanWith<detail::Results::dropped, Fn, detail::Kept<Args>...>;
        if constexpr (detail::check_crossable<Plan, Fn, detail::Kept<Args>...>()) {
            auto child = detail::make_child(std::move(options));
            child->keep(detail::encode_call<Plan, Fn, detail::Kept<Args>...>(
                child->memory(), child->modules(), std::forward<F>(fn),
                std::forward<Args>(args)...));
            child_ = std::move(child);
        }
    }
    Process(Process&&) noexcept = default;
    Process& operator=(Process other) noexcept {
        std::swap(child_, other.child_);
        return *this;
    }
    ~Process() {
        if (child_) child_->abandon();
    }

    /// Starts it, and lets go of the arguments when the process has them.
    ///
    /// **Blocks** until then.
    /// **Throws**: `InvalidStateError` when it was started before.
    /// `EntryGuardError` when it does not reach `entry_guard()` within
    /// `ProcessOptions::start_timeout`, usually at once, or is another build of this program.
    /// `WorkerCrashed` when a signal ends it before. `std::system_error` when the system has no room
    /// for it. After all but the first you may try again.
    void start() const { owned().start(); }

    /// **Blocks** until the process has ended. **Throws**: `InvalidStateError` when it was not
    /// started.
    void join() const { (void)owned().join(std::nullopt); }
    /// As `join`, for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool join_for(std::chrono::duration<Rep, Period> timeout) const {
        return owned().join(detail::deadline_after(timeout));
    }

    /// Whether it was started and has not ended.
    [[nodiscard]] bool is_alive() const { return owned().alive(); }
    [[nodiscard]] const std::string& name() const { return owned().name(); }
    [[nodiscard]] bool daemon() const { return owned().daemon(); }
    /// The system's number for the process; 0 before `start`.
    [[nodiscard]] long long id() const { return owned().pid(); }
    /// The same, with the system's type.
    [[nodiscard]] int pid() const { return owned().pid(); }

    /// What it gave to `exit`, or minus the signal that ended it. Empty as long as it has not ended,
    /// and if the system does not tell because the application ignores SIGCHLD or waits for any child.
    ///
    /// When the fork server is killed, its processes are killed by SIGKILL with it. So the same is
    /// said of one that had ended just before, if the server has not told how.
    [[nodiscard]] std::optional<int> exit_code() const { return owned().exit_code(); }

    /// Asks it to end, by SIGTERM, or any other signal. Of what it has started, only what muster has
    /// started ends with it. Does nothing when it has ended.
    ///
    /// **Throws**: `InvalidStateError` when it was not started. `std::system_error` if there is no
    /// such signal.
    void terminate() const { owned().send_signal(SIGTERM); }
    /// As `terminate`, by SIGKILL, which it cannot ignore.
    void kill() const { owned().send_signal(SIGKILL); }
    /// As `terminate`, by that signal.
    void send_signal(int signal) const { owned().send_signal(signal); }

    /// A descriptor that becomes readable when the process has ended: for `poll`, not for `read`. It
    /// is this object's, and open as long as it lives.
    ///
    /// **Throws**: `InvalidStateError` when it was not started.
    [[nodiscard]] int sentinel() const { return owned().sentinel(); }

    /// Asks it to stop: its `StopToken` says so, also when it is started later. True for the first
    /// request.
    bool request_stop() const { return owned().request_stop(); }

  private:
    [[nodiscard]] detail::Child& owned() const {
        if (!child_) throw InvalidStateError("muster: this process was moved from");
        return *child_;
    }

    std::shared_ptr<detail::Child> child_;
};

/// What can be asked about a process. Copies are of the same process.
///
///     for (const auto& child : muster::multiprocessing::active_children()) {
///         child.terminate();
///         child.join();
///     }
///
/// Thread safety: all members.
class ProcessInfo {
  public:
    /// As it was given; `MainProcess` for one that muster has not started, `PoolWorker` for the
    /// workers of pools.
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    /// The system's number for the process.
    [[nodiscard]] long long id() const noexcept { return pid_; }
    /// The same, with the system's type.
    [[nodiscard]] int pid() const noexcept { return pid_; }
    /// Whether it is a `Process` with `ProcessOptions::daemon`.
    [[nodiscard]] bool daemon() const noexcept { return daemon_; }
    /// Whether it has not ended.
    [[nodiscard]] bool is_alive() const {
        return child_ ? child_->alive() : detail::os::process_lives(number_);
    }

    /// **Blocks** until it has ended. **Throws**: `InvalidStateError` for the calling process, which
    /// would wait for itself.
    void join() const { (void)join_until(std::nullopt); }
    /// As `join`, for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool join_for(std::chrono::duration<Rep, Period> timeout) const {
        return join_until(detail::deadline_after(timeout));
    }

    /// As `Process::exit_code`. Empty if it is not one of the `active_children()` of this process:
    /// the system tells its parent alone.
    [[nodiscard]] std::optional<int> exit_code() const {
        return child_ ? child_->exit_code() : std::nullopt;
    }

    /// As `Process::terminate`. **Throws**: `InvalidStateError` if it is not one of the
    /// `active_children()` of this process.
    void terminate() const { child("terminate()").send_signal(SIGTERM); }
    /// As `terminate`, by SIGKILL, which it cannot ignore.
    void kill() const { child("kill()").send_signal(SIGKILL); }

  private:
    friend ProcessInfo current_process();
    friend std::optional<ProcessInfo> parent_process();
    friend std::vector<ProcessInfo> active_children();
    ProcessInfo(std::string name, int pid, bool daemon, std::uint64_t number)
        : name_{std::move(name)}, pid_{pid}, daemon_{daemon}, number_{number} {}
    explicit ProcessInfo(std::shared_ptr<detail::Child> child)
        : name_{child->name()},
          pid_{child->pid()},
          daemon_{child->daemon()},
          child_{std::move(child)} {}

    [[nodiscard]] detail::Child& child(const char* what) const {
        if (!child_)
            throw InvalidStateError("muster: " + described(what) +
                                    ", which this process has not started; only its parent can do "
                                    "that");
        return *child_;
    }
    bool join_until(const detail::Deadline& deadline) const {
        if (child_) return child_->join(deadline);
        if (number_ == detail::os::fork_generation())
            throw InvalidStateError("muster: " + described("join()") +
                                    ", which is the calling one: it would wait for itself");
        return detail::os::await_end(number_, deadline);
    }
    [[nodiscard]] std::string described(const char* what) const {
        return std::string(what) + " for process '" + name_ + "' (pid " + std::to_string(pid_) +
               ")";
    }

    std::string name_;
    int pid_;
    bool daemon_;
    std::uint64_t number_ = 0;
    std::shared_ptr<detail::Child> child_;
};

/// The process that calls it.
///
///     std::puts(muster::multiprocessing::current_process().name().c_str());
inline ProcessInfo current_process() {
    const detail::WorkerPage* const page = detail::own_worker_page();
    return {detail::own_name(), static_cast<int>(detail::os::own_process_id()),
            page && page->daemon != 0, detail::os::fork_generation()};
}

/// The process that has started this one; empty if muster has not started this one.
///
/// Its `daemon()` is false, whatever it is.
inline std::optional<ProcessInfo> parent_process() {
    const detail::WorkerPage* const page = detail::own_worker_page();
    if (!page) return std::nullopt;
    return ProcessInfo(page->parent_name.data(), detail::os::id_in(page->parent), false,
                       page->parent);
}

/// Each `Process` that this process has started, has a handle to, and that has not ended. Those that
/// have ended are joined.
inline std::vector<ProcessInfo> active_children() {
    std::vector<ProcessInfo> alive;
    for (auto& child : detail::Children::own().started())
        if (child->alive()) alive.push_back(ProcessInfo(std::move(child)));
    return alive;
}

/// How many CPUs this process may use: what its affinity mask and its control groups leave of the
/// machine's.
inline std::size_t cpu_count() noexcept { return detail::os::usable_cpus(); }

}  // namespace muster::multiprocessing
