// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/stats.hpp>

namespace muster::detail {

/// The counts of one thread that runs tasks. Written by that thread, read by all.
///
/// Separate cells, because a shared counter hammered by two cores costs 14 ns an increment.
struct alignas(64) LedgerCell {
    std::atomic<std::uint64_t> started{0};
    std::atomic<std::uint64_t> ended{0};  ///< Including its callbacks.
    std::atomic<std::uint64_t> completed{0};
    std::atomic<std::uint64_t> failed{0};
    std::atomic<std::int64_t> waiting_ns{0};
    std::atomic<std::int64_t> running_ns{0};
    LedgerCell* next = nullptr;

    bool shared = false;  ///< Several threads write it, so adding takes a locked instruction.

    template <typename T>
    void add(std::atomic<T>& counter, T amount) noexcept {
        if (shared) {
            counter.fetch_add(amount, std::memory_order_relaxed);
        } else {
            // Wraps, as fetch_add does: a worker process may claim any times.
            const auto sum = static_cast<std::uint64_t>(counter.load(std::memory_order_relaxed)) +
                             static_cast<std::uint64_t>(amount);
            counter.store(static_cast<T>(sum), std::memory_order_relaxed);
        }
    }

    /// Release: whoever sees the count sees what the task did.
    void end_one() noexcept {
        if (shared)
            ended.fetch_add(1, std::memory_order_seq_cst);
        else
            ended.store(ended.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }
};

/// How many tasks an executor has accepted and what became of them.
class Ledger {
  public:
    Ledger() {
        common_.shared = true;
        add(common_);
    }

    /// Adds a running thread's cell, which must live as long as the ledger.
    void add(LedgerCell& cell) noexcept {
        LedgerCell* first = first_.load(std::memory_order_relaxed);
        do {
            cell.next = first;
        } while (!first_.compare_exchange_weak(first, &cell, std::memory_order_acq_rel));
    }

    /// The cell of tasks that end in no thread of the executor's own, such as cancelled ones.
    LedgerCell& common() noexcept { return common_; }

    // seq_cst here and in outstanding(): whoever ends the last task sees who waits for that, or the
    // one who waits sees the end.
    void accept() noexcept { accepted_.fetch_add(1, std::memory_order_seq_cst); }
    void refuse() noexcept { accepted_.fetch_sub(1, std::memory_order_seq_cst); }
    void cancel() noexcept { cancelled_.fetch_add(1, std::memory_order_relaxed); }
    void time_out() noexcept { timed_out_.fetch_add(1, std::memory_order_relaxed); }
    void retry() noexcept { retried_.fetch_add(1, std::memory_order_relaxed); }

    [[nodiscard]] std::uint64_t accepted() const noexcept {
        return accepted_.load(std::memory_order_seq_cst);
    }

    /// How many accepted tasks have not ended, their callbacks included.
    [[nodiscard]] std::uint64_t outstanding() const noexcept {
        std::uint64_t ended = 0;  // Before `accepted`, so that the difference is never too small.
        for (const LedgerCell* cell = first(); cell; cell = cell->next)
            ended += cell->ended.load(std::memory_order_seq_cst);
        return accepted() - ended;
    }

    [[nodiscard]] ExecutorStats stats() const noexcept {
        ExecutorStats all;
        std::uint64_t started = 0;
        for (const LedgerCell* cell = first(); cell; cell = cell->next) {
            started += cell->started.load(std::memory_order_acquire);
            all.completed += cell->completed.load(std::memory_order_acquire);
            all.failed += cell->failed.load(std::memory_order_acquire);
            all.waiting_time += std::chrono::nanoseconds(cell->waiting_ns.load());
            all.running_time += std::chrono::nanoseconds(cell->running_ns.load());
        }
        all.cancelled = cancelled_.load(std::memory_order_acquire);
        all.timed_out = timed_out_.load(std::memory_order_acquire);
        all.retried = retried_.load(std::memory_order_acquire);
        // Read at different moments while tasks run, so differences are kept from going below zero.
        const auto difference = [](std::uint64_t all_of, std::uint64_t part) {
            return all_of > part ? all_of - part : 0;
        };
        all.running = difference(started, all.completed + all.failed + all.timed_out);
        all.pending = difference(accepted(), started + all.cancelled);
        return all;
    }

  private:
    [[nodiscard]] const LedgerCell* first() const noexcept {
        return first_.load(std::memory_order_acquire);
    }

    alignas(64) std::atomic<std::uint64_t> accepted_{0};
    alignas(64) std::atomic<std::uint64_t> cancelled_{0};
    std::atomic<std::uint64_t> timed_out_{0};
    std::atomic<std::uint64_t> retried_{0};
    std::atomic<LedgerCell*> first_{nullptr};
    LedgerCell common_;
};

}  // namespace muster::detail
