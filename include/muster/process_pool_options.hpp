// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <muster/detail/os.hpp>
#include <muster/detail/process/remote_call.hpp>

namespace muster {

/// How worker processes come to be.
enum class StartMethod {
    spawn,  ///< The same program is started afresh. Safe in programs with threads.
    /// Copies of this program as it was when the pool was made, memory included. As safe as `fork`
    /// is at that moment. They end without the exit handlers and static destructors of the program:
    /// with glibc also where a task calls `exit`, which runs them elsewhere. POSIX only.
    fork,
    forkserver  ///< Copies of a process that was started afresh and has done nothing else. POSIX only.
};

/// What each worker process calls before its first task: `f`, or `{f, args...}`.
/// The same may be given as to `submit`, but for what takes a `StopToken`. What `f` returns is
/// dropped.
class ProcessInitializer {
  public:
    /// Nothing.
    ProcessInitializer() = default;

    /// `fn(args...)`, encoded when the pool gets its first task. What that throws is in this task's
    /// future, and no worker starts; the next task has it tried again.
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, ProcessInitializer>)
    ProcessInitializer(F&& fn, Args&&... args) {  // Implicit: it is written as an option's value.
        using Fn = std::decay_t<F>;
        using Plan = detail::CallPlanWith<detail::Results::dropped, Fn, detail::Kept<Args>...>;
        if constexpr (detail::check_initializer<Plan>() &&
                      detail::check_crossable<Plan, Fn, detail::Kept<Args>...>()) {
            encode_ = [call = std::tuple<Fn, detail::Kept<Args>...>(std::forward<F>(fn),
                                                                    std::forward<Args>(args)...)](
                          detail::PoolMemory& memory, detail::ModuleTable& modules) {
                return std::apply(
                    [&](const auto&... parts) {
                        return detail::encode_call<Plan, Fn, detail::Kept<Args>...>(memory, modules,
                                                                                    parts...);
                    },
                    call);
            };
        }
    }

    /// Encodes the call for the workers; nothing if there is none.
    [[nodiscard]] detail::EncodedCall encode(detail::PoolMemory& memory,
                                             detail::ModuleTable& modules) const {
        return encode_ ? encode_(memory, modules) : detail::EncodedCall{};
    }

  private:
    std::function<detail::EncodedCall(detail::PoolMemory&, detail::ModuleTable&)> encode_;
};

/// How a `ProcessPoolExecutor` is made.
struct ProcessPoolOptions {
    /// The CPUs that this process may use, affinity mask and cgroup quota counted, if left out.
    std::size_t max_workers = detail::os::usable_cpus();
    StartMethod start_method = StartMethod::spawn;
    /// Called first in each worker. If it throws, the pool is broken: see `BrokenProcessPool`.
    ProcessInitializer initializer = {};
    /// A worker is replaced after so many tasks. Left out: it serves as long as the pool.
    std::optional<std::size_t> max_tasks_per_child = std::nullopt;
    /// Bounds the tasks accepted and not yet finished: `submit` then waits for room. 0: no bound.
    std::size_t max_pending = 0;
    /// How long a worker may take to reach `entry_guard()`. `std::nullopt`: as long as it wants.
    std::optional<std::chrono::nanoseconds> start_timeout = std::chrono::seconds(10);
    /// Another file of this same build to start in place of this program. Empty: this program.
    std::string executable = {};
    /// With `StartMethod::fork`: throw `InvalidStateError` if this program has other threads.
    bool require_single_thread = false;
    /// Gets what posted tasks and callbacks throw. If empty, a line goes to stderr.
    std::function<void(std::exception_ptr)> on_error = {};
};

}  // namespace muster
