// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/per_process.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/spin.hpp>
#include <muster/stop_token.hpp>

/// The threads that a `Process` asks to stop before it ends, as if their handles went: it waits for
/// all but daemons. In any process, `exit` asks the daemons.
///
/// Those it waits for are counted in its page, for that is the same in all shared libraries of the
/// process. (Those of libraries that have a muster of their own are not asked.)
namespace muster::detail {

struct AwaitedThreads {
    struct Running {
        const void* thread;
        StopSource stop;
    };
    SpinLock lock;
    std::vector<Running> running;  ///< And not asked to stop.
    bool asked = false;            ///< To stop: those that are started from then on are, too.

    /// `now_and_later`: also those that are started from then on.
    static void ask(bool now_and_later) noexcept {
        auto& threads = per_process<AwaitedThreads>();
        std::vector<Running> all;
        {
            const std::lock_guard held(threads.lock);
            all.swap(threads.running);
            if (now_and_later) threads.asked = true;
        }
        // Without the lock: what is called then may start threads, or wait for their ends.
        for (const Running& each : all) (void)each.stop.request_stop();
    }

    static void ask_at_exit() {
        static constinit std::atomic<bool> registered{false};  // Copies have the handler, too.
        if (registered.exchange(true, std::memory_order_relaxed)) return;
        const os::NoForks during_registration;
        // Not the later ones: it runs early if a library registers it, and is unloaded.
        std::atexit([] { ask(false); });
    }
};

/// Threads that the calling process starts are counted from now on. **Throws**: `std::bad_alloc`.
inline void count_threads(WorkerPage& page) {
    (void)per_process<AwaitedThreads>();  // It is there when the memory may be gone.
    page.caller.store(os::fork_generation(), std::memory_order_relaxed);
}

/// Asks all to stop. **Blocks** until those that were counted have ended.
inline void await_threads(const WorkerPage& page) {
    AwaitedThreads::ask(true);
    // acquire: pairs with AwaitedThread::end().
    while (const std::uint32_t left = page.awaited_threads.load(std::memory_order_acquire))
        (void)os::sleep_on(page.awaited_threads, left, std::nullopt, os::Sharing::processes);
}

/// The part of one thread in that.
class AwaitedThread {
  public:
    explicit AwaitedThread(const StopSource& stop) : stop_{stop} {}
    AwaitedThread(const AwaitedThread&) = delete;
    AwaitedThread& operator=(const AwaitedThread&) = delete;
    ~AwaitedThread() = default;

    /// Before it is started. Does nothing for one that neither is counted nor a daemon. **Throws**:
    /// `std::bad_alloc`.
    void begin(bool daemon) {
        WorkerPage* const page = own_worker_page();
        const bool counted = !daemon && page && counts(*page);
        if (!daemon && !counted) return;
        if (daemon) AwaitedThreads::ask_at_exit();
        auto& threads = per_process<AwaitedThreads>();
        const std::lock_guard held(threads.lock);
        if (threads.asked)
            (void)stop_.request_stop();
        else
            threads.running.push_back({this, stop_});
        generation_ = os::fork_generation();
        if (!counted) return;
        page->awaited_threads.fetch_add(1, std::memory_order_relaxed);
        page_ = page;
    }
    /// When it has ended, or could not be started.
    void end() noexcept {
        WorkerPage* const page = std::exchange(page_, nullptr);
        // Not in a copy of the process, made by `fork`, which has the same page.
        if (std::exchange(generation_, 0) != os::fork_generation()) return;
        {
            auto& threads = per_process<AwaitedThreads>();
            const std::lock_guard held(threads.lock);
            std::erase_if(threads.running, [&](const auto& each) { return each.thread == this; });
        }
        if (page && page->awaited_threads.fetch_sub(1, std::memory_order_release) == 1)
            os::wake_all(page->awaited_threads, os::Sharing::processes);
    }

  private:
    /// False in a copy of the process.
    static bool counts(const WorkerPage& page) {
        return page.caller.load(std::memory_order_relaxed) == os::fork_generation();
    }

    const StopSource& stop_;
    std::uint64_t generation_ = 0;  // Of the process that may have it in its list.
    WorkerPage* page_ = nullptr;
};

}  // namespace muster::detail
