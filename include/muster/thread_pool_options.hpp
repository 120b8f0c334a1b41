// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <utility>

#include <muster/detail/call.hpp>
#include <muster/detail/os.hpp>

namespace muster {

/// What each worker thread calls before its first task: `f`, or `{f, args...}`.
/// The same may be given as to `submit`, but for what takes a `StopToken`. What `f` returns is
/// dropped.
class ThreadInitializer {
  public:
    /// Nothing.
    ThreadInitializer() = default;

    /// `fn(args...)`, on copies of its own in each thread. **Throws**: what copying them throws.
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, ThreadInitializer>)
    ThreadInitializer(F&& fn, Args&&... args) {  // Implicit: it is written as an option's value.
        using Plan = detail::PlanFor<detail::Results::dropped, F, Args...>;
        if constexpr (detail::check_callable<F, Args...>() && detail::check_initializer<Plan>())
            call_ = [call = Plan::bind(std::forward<F>(fn), std::forward<Args>(args)...)] {
                auto copy = call;  // Workers start at the same time.
                (void)copy(nullptr);
            };
    }

    /// Whether there is something to call.
    explicit operator bool() const noexcept { return call_ != nullptr; }

    /// Calls it. Requires: there is something to call.
    void operator()() const { call_(); }

  private:
    std::function<void()> call_;
};

/// How a `ThreadPoolExecutor` is made.
struct ThreadPoolOptions {
    /// The CPUs that this process may use, affinity mask and cgroup quota counted, if left out.
    std::size_t max_workers = detail::os::usable_cpus();
    /// Worker i is named `<prefix>_<i>`; `ThreadPoolExecutor-<n>` if empty.
    std::string thread_name_prefix = {};
    /// Called first in each worker. If it throws, the pool is broken: see `BrokenThreadPool`.
    ThreadInitializer initializer = {};
    /// Bounds the tasks accepted and not yet finished: `submit` then waits for room. 0: no bound.
    std::size_t max_pending = 0;
    /// Gets what posted tasks and callbacks throw. If empty, a line goes to stderr.
    std::function<void(std::exception_ptr)> on_error = {};
};

}  // namespace muster
