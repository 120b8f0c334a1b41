// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <muster/detail/spin.hpp>
#include <muster/detail/thread_worker.hpp>

namespace muster::detail {

/// Which workers of a pool search for work and which sleep.
///
/// At most one begins to search at a time, and nobody is woken while one does.
/// Thread safety: all members. The counts are seq_cst: who queues a task either sees the worker that
/// searches or sleeps, or that worker, which looks once more after it stopped searching or lay down,
/// sees the task.
// A model of the protocol stands in tests/models/idle_workers.pml.
class alignas(64) IdleWorkers {
  public:
    [[nodiscard]] bool any_searching() const noexcept {
        return any_searching(counts_.load(std::memory_order_seq_cst));
    }
    void begin_search() noexcept { counts_.fetch_add(one_searching, std::memory_order_seq_cst); }
    void end_search() noexcept { counts_.fetch_sub(one_searching, std::memory_order_seq_cst); }

    /// Begins to search unless another does.
    bool try_begin_search() noexcept {
        std::uint64_t counts = counts_.load(std::memory_order_relaxed);
        while (!any_searching(counts))
            if (counts_.compare_exchange_weak(counts, counts + one_searching,
                                              std::memory_order_seq_cst))
                return true;
        return false;
    }

    /// Wakes one unless another searches. False when there is neither.
    bool wake_one() noexcept {
        const std::uint64_t counts = counts_.load(std::memory_order_seq_cst);
        if (any_searching(counts)) return true;
        if (static_cast<std::uint32_t>(counts) == 0) return false;
        ThreadWorker* woken = nullptr;
        {
            const std::lock_guard held(lock_);
            if (!any_searching()) woken = pop();
        }
        if (woken) woken->wake();
        return true;
    }

    void wake(std::size_t count) noexcept {
        const std::lock_guard held(lock_);
        for (; count > 0 && sleepers_; --count) pop()->wake();
    }

    /// Sleeps, unless `stays_up()` once others know of it. True when it is searching afterwards.
    template <typename StaysUp>
    bool sleep(ThreadWorker& me, bool searching, StaysUp stays_up) noexcept {
        {
            const std::lock_guard held(lock_);
            me.below = sleepers_;
            sleepers_ = &me;
            counts_.fetch_add(one_sleeping - (searching ? one_searching : 0),
                              std::memory_order_seq_cst);
        }
        if (stays_up()) {
            const std::lock_guard held(lock_);
            // Who meant to wake it and found nobody relies on a search, as if it had been woken.
            if (remove(me)) return true;
        }
        me.sleep();
        return true;
    }

  private:
    static constexpr std::uint64_t one_sleeping = 1;
    static constexpr std::uint64_t one_searching = std::uint64_t{1} << 32;

    static bool any_searching(std::uint64_t counts) noexcept { return counts >= one_searching; }

    // Under the lock:

    /// The one whose caches are warmest; from now on it is searching.
    ThreadWorker* pop() noexcept {
        ThreadWorker* const last = sleepers_;
        if (!last) return nullptr;
        sleepers_ = last->below;
        counts_.fetch_add(one_searching - one_sleeping, std::memory_order_seq_cst);
        return last;
    }
    bool remove(const ThreadWorker& unwanted) noexcept {
        ThreadWorker** link = &sleepers_;
        while (*link && *link != &unwanted) link = &(*link)->below;
        if (!*link) return false;
        *link = unwanted.below;
        counts_.fetch_add(one_searching - one_sleeping, std::memory_order_seq_cst);
        return true;
    }

    std::atomic<std::uint64_t> counts_{0};  // Searching workers << 32 | sleeping ones.
    SpinLock lock_;
    ThreadWorker* sleepers_ = nullptr;  // The last to lie down first.
};

}  // namespace muster::detail
