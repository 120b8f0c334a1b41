// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include <muster/detail/os.hpp>
#include <muster/detail/per_process.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/threading/stop_list.hpp>
#include <muster/stop_token.hpp>

/// The threads that a `Process` asks to stop and waits for before it ends, as if their handles went.
/// They are counted in its page, for that is the same in all shared libraries of the process. (Those
/// of libraries that have a muster of their own are not asked.)
namespace muster::detail {

struct AwaitedThreads {
    StopList running;
};

/// Threads that the calling process starts are counted from now on. **Throws**: `std::bad_alloc`.
inline void count_threads(WorkerPage& page) {
    (void)per_process<AwaitedThreads>();  // It is there when the memory may be gone.
    page.caller.store(os::fork_generation(), std::memory_order_relaxed);
}

/// Asks those that were counted to stop. **Blocks** until they have ended.
inline void await_threads(const WorkerPage& page) {
    if (AwaitedThreads* const threads = PerProcess<AwaitedThreads>::find())
        threads->running.ask_all();
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

    /// Before it is started. Does nothing in a process that counts none. **Throws**:
    /// `std::bad_alloc`; then it is to `end`.
    void begin() {
        WorkerPage* const page = own_worker_page();
        if (!page || !counts(*page)) return;
        StopList& running = per_process<AwaitedThreads>().running;
        page->awaited_threads.fetch_add(1, std::memory_order_relaxed);
        page_ = page;
        running.add(stop_);  // Counted: who asks it waits for it.
    }
    /// When it has ended, or could not be started.
    void end() noexcept {
        WorkerPage* const page = std::exchange(page_, nullptr);
        if (!page || !counts(*page)) return;
        PerProcess<AwaitedThreads>::find()->running.remove(stop_);  // Made when it began.
        if (page->awaited_threads.fetch_sub(1, std::memory_order_release) == 1)
            os::wake_all(page->awaited_threads, os::Sharing::processes);
    }

  private:
    /// False in a copy of the process, made by `fork`, which has the same page.
    static bool counts(const WorkerPage& page) {
        return page.caller.load(std::memory_order_relaxed) == os::fork_generation();
    }

    const StopSource& stop_;
    WorkerPage* page_ = nullptr;
};

}  // namespace muster::detail
