// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/process/worker_main.hpp>

namespace muster {
namespace detail {

#ifdef MUSTER_SEPARATE_COMPILATION
[[noreturn]] void serve();  // In <muster/src.hpp>.
#else
[[noreturn]] inline void serve() { serve_parent(); }
#endif

}  // namespace detail

/// True in a process that another one started as its worker, also in static initialisers and before
/// `entry_guard()`.
///
///     Telemetry telemetry{.enabled = !muster::in_worker()};
///
/// Thread safety: may be called from any thread.
inline bool in_worker() noexcept { return detail::own_worker_page() != nullptr; }

/// Where worker processes start. The first statement of `main`, in programs that use processes.
///
///     int main() {
///         muster::entry_guard();  // Workers serve here and never come back.
///         muster::ProcessPoolExecutor pool;
///         ...
///     }
///
/// In an ordinary start it returns at once. In a worker it runs tasks until the parent needs it no
/// more or has ended, and then leaves the process by `std::exit`: windows, servers and command-line
/// parsing below it exist once. Static initialisers run in every worker; see `in_worker`.
///
/// A program that forgot it gets `EntryGuardError` from its first task.
inline void entry_guard() {
    if (in_worker()) detail::serve();
}

namespace detail {

// Before main: a worker whose parent has ended ends too, however far from the guard it is.
inline const bool worker_is_tied_to_parent = [] {
    if (const WorkerPage* page = own_worker_page()) os::end_with_parent(page->parent_pid);
    return true;
}();

}  // namespace detail
}  // namespace muster
