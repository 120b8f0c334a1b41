// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/worker_link.hpp>

/// The threads that a `Process` waits for before it ends. They are counted in its page, for that is
/// the same in all shared libraries of the process.
namespace muster::detail {

/// Threads that the calling process starts are counted from now on.
inline void count_threads(WorkerPage& page) {
    page.caller.store(os::fork_generation(), std::memory_order_relaxed);
}

/// **Blocks** until those that were counted have ended.
inline void await_threads(const WorkerPage& page) noexcept {
    // acquire: pairs with AwaitedThread::end().
    while (const std::uint32_t left = page.awaited_threads.load(std::memory_order_acquire))
        (void)os::sleep_on(page.awaited_threads, left, std::nullopt, os::Sharing::processes);
}

/// The part of one thread in that count.
class AwaitedThread {
  public:
    /// Before it is started. Does nothing in a process that counts none.
    void begin() {
        WorkerPage* const page = own_worker_page();
        if (!page || !counts(*page)) return;
        page->awaited_threads.fetch_add(1, std::memory_order_relaxed);
        page_ = page;
    }
    /// When it has ended, or could not be started.
    void end() noexcept {
        WorkerPage* const page = std::exchange(page_, nullptr);
        if (!page || !counts(*page)) return;
        if (page->awaited_threads.fetch_sub(1, std::memory_order_release) == 1)
            os::wake_all(page->awaited_threads, os::Sharing::processes);
    }

  private:
    /// False in a copy of the process, made by `fork`, which has the same page.
    static bool counts(const WorkerPage& page) {
        return page.caller.load(std::memory_order_relaxed) == os::fork_generation();
    }

    WorkerPage* page_ = nullptr;
};

}  // namespace muster::detail
