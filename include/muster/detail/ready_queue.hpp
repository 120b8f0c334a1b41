// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <muster/detail/priority_heap.hpp>
#include <muster/detail/runnable.hpp>
#include <muster/detail/thread_worker.hpp>

namespace muster::detail {

/// What waits in a pool for any worker, by priority, equals in the order of their submission.
///
/// Submitting is one compare-and-swap onto `inbox_`. Workers turn the inbox round under a lock that
/// submitters never take.
// A model of the protocol stands in tests/models/ready_queue.pml.
class ReadyQueue {
  public:
    void push(Runnable& added) noexcept {
        if (added.priority > 0) urgent_.fetch_add(1, std::memory_order_relaxed);
        Runnable* newest = inbox_.load(std::memory_order_relaxed);
        do {
            added.next = newest;
        } while (!inbox_.compare_exchange_weak(newest, &added, std::memory_order_seq_cst,
                                               std::memory_order_relaxed));
    }

    /// True when something of higher than normal priority waits.
    [[nodiscard]] bool urgent() const noexcept {
        return urgent_.load(std::memory_order_relaxed) != 0;
    }
    [[nodiscard]] bool empty() const noexcept {
        return inbox_.load(std::memory_order_seq_cst) == nullptr &&
               sorted_.load(std::memory_order_seq_cst) == 0;
    }

    /// The next of at least normal priority, none of that priority younger than `older_than_ns`.
    /// If `batch_share` is not 0, that part of what is left, at most 64, goes to `local` with it.
    Runnable* pop(LocalQueue& local, std::size_t batch_share, std::int64_t older_than_ns) noexcept {
        if (empty()) return nullptr;
        const std::lock_guard held(lock_);
        sort_inbox();
        Runnable* task = nullptr;
        if (Runnable* const top = heap_.top(); top && top->priority > 0) {
            task = heap_.pop();
            urgent_.fetch_sub(1, std::memory_order_relaxed);
        } else if (!normal_.empty() && normal_.front()->submitted_ns < older_than_ns) {
            task = normal_.pop_front();
            if (batch_share != 0) {
                RunnableList batch;
                std::size_t more = std::min<std::size_t>(normal_.size() / batch_share, 64);
                for (; more > 0; --more) batch.push_back(*normal_.pop_front());
                if (!batch.empty()) local.push_all(batch);
            }
        }
        count();
        return task;
    }

    /// The next of any priority: for a worker that found nothing better anywhere.
    Runnable* pop_any() noexcept {
        if (empty()) return nullptr;
        const std::lock_guard held(lock_);
        sort_inbox();
        Runnable* task = normal_.empty() ? nullptr : normal_.front();
        if (!heap_.empty() && (!task || heap_.top()->priority > 0)) {
            task = heap_.pop();
            if (task->priority > 0) urgent_.fetch_sub(1, std::memory_order_relaxed);
        } else {
            task = normal_.pop_front();
        }
        count();
        return task;
    }

  private:
    void sort_inbox() noexcept {
        if (!inbox_.load(std::memory_order_relaxed)) return;
        // Before: while they are being sorted, the queue must not look empty.
        sorted_.store(1, std::memory_order_seq_cst);
        Runnable* newest = inbox_.exchange(nullptr, std::memory_order_seq_cst);
        Runnable* oldest = nullptr;
        while (newest) {
            Runnable* const older = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = older;
        }
        while (oldest) {
            Runnable* const younger = oldest->next;
            if (oldest->priority == 0)
                normal_.push_back(*oldest);
            else
                heap_.push(*oldest);
            oldest = younger;
        }
    }
    void count() noexcept {
        sorted_.store(normal_.size() + (heap_.empty() ? 0 : 1), std::memory_order_seq_cst);
    }

    alignas(64) std::atomic<Runnable*> inbox_{nullptr};  // Newest first.
    alignas(64) std::atomic<std::size_t> urgent_{0};
    std::atomic<std::size_t> sorted_{0};  // Not zero while something is in normal_ or heap_.
    SpinLock lock_;
    RunnableList normal_;
    PriorityHeap heap_;
};

}  // namespace muster::detail
