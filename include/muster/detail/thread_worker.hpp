// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <thread>

#include <muster/detail/ledger.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/runnable.hpp>
#include <muster/detail/spin.hpp>

namespace muster::detail {

/// The tasks that one worker has taken or made, oldest first. Others steal from it when idle.
class LocalQueue {
  public:
    [[nodiscard]] bool empty() const noexcept { return size_.load(std::memory_order_seq_cst) == 0; }

    void push(Runnable& added) noexcept {
        const std::lock_guard held(lock_);
        list_.push_back(added);
        // seq_cst: pairs with the look at all queues that a worker takes before it sleeps.
        size_.store(list_.size(), std::memory_order_seq_cst);
    }

    void push_all(RunnableList& added) noexcept {
        const std::lock_guard held(lock_);
        while (Runnable* task = added.pop_front()) list_.push_back(*task);
        size_.store(list_.size(), std::memory_order_seq_cst);
    }

    Runnable* pop() noexcept {
        if (empty()) return nullptr;
        const std::lock_guard held(lock_);
        return popped(list_.pop_front());
    }

    /// Takes `wanted` out if it is the newest, as it is when a task waits for what it has just made.
    bool pop_if_newest(Runnable& wanted) noexcept {
        const std::lock_guard held(lock_);
        if (list_.back() != &wanted) return false;
        popped(list_.pop_back());
        return true;
    }

    /// The age of the oldest, if it was made by a task; a batch from outside is older than all else.
    bool front_from_inside(std::int64_t& submitted_ns) noexcept {
        const std::lock_guard held(lock_);
        const Runnable* const front = list_.front();
        if (!front || !front->from_inside) return false;
        submitted_ns = front->submitted_ns;
        return true;
    }

    /// Moves up to half, at most 16, of what is here to `thief`, and returns one of them to run.
    Runnable* steal_into(LocalQueue& thief) noexcept {
        if (empty()) return nullptr;
        RunnableList stolen;
        {
            const std::lock_guard held(lock_);
            std::size_t count = std::min<std::size_t>((list_.size() + 1) / 2, 16);
            for (; count > 0; --count) stolen.push_back(*list_.pop_front());
            size_.store(list_.size(), std::memory_order_seq_cst);
        }
        Runnable* const first = stolen.pop_front();
        if (!stolen.empty()) thief.push_all(stolen);
        return first;
    }

  private:
    Runnable* popped(Runnable* task) noexcept {
        size_.store(list_.size(), std::memory_order_relaxed);
        return task;
    }

    SpinLock lock_;
    RunnableList list_;
    std::atomic<std::size_t> size_{0};
};

/// One thread of a pool, and what belongs to it alone.
struct alignas(64) ThreadWorker {
    LocalQueue local;
    LedgerCell cell;
    std::atomic<std::uint32_t> woken{0};
    /// When it began the task that it runs.
    std::atomic<std::int64_t> began_ns{(std::numeric_limits<std::int64_t>::max)()};
    std::size_t index = 0;
    ThreadWorker* below = nullptr;  ///< Who lay down to sleep before it.
    std::atomic<bool> ended{true};  ///< It will touch nothing of the pool any more.
    std::thread thread;
    std::thread previous;  ///< Who had this place before: `thread` joins it.

    void sleep() noexcept {
        while (woken.load(std::memory_order_acquire) == 0) os::sleep_on(woken, 0);
        woken.store(0, std::memory_order_relaxed);
    }
    void wake() noexcept {
        woken.store(1, std::memory_order_release);
        os::wake_one(woken);
    }
};

}  // namespace muster::detail
