// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/ledger.hpp>

namespace muster::detail {

/// What a thread that runs tasks carries from one to the next.
struct RunContext {
    LedgerCell& cell;
    Clock::time_point now;  ///< When the last task ended: read once, used as the next one's start.
};

/// Something an executor can run: the link of its queues is part of it, so that queueing it
/// allocates nothing.
///
/// A queue owns what is in it. It ends that by calling `run` or `abandon`, one of them, once.
class Runnable {
  public:
    Runnable() noexcept = default;
    Runnable(const Runnable&) = delete;
    Runnable& operator=(const Runnable&) = delete;

    /// Runs it in this thread.
    virtual void run(RunContext& context) noexcept = 0;

    /// Runs it in this thread while it stays in its queue. Requires: the caller holds a reference.
    virtual void run_ahead(RunContext& context) noexcept = 0;

    /// Gives it up: it will not run.
    virtual void abandon() noexcept = 0;

    Runnable* next = nullptr;
    Runnable* previous = nullptr;
    std::int64_t submitted_ns = 0;  ///< When it was submitted; also its place among equals.
    std::int32_t priority = 0;      ///< Higher first.
    bool from_inside = false;       ///< Submitted by a task of the same pool.

  protected:
    ~Runnable() = default;
};

/// A list of runnables through their own links, oldest first.
class RunnableList {
  public:
    [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] Runnable* front() const noexcept { return head_; }
    [[nodiscard]] Runnable* back() const noexcept { return tail_; }

    void push_back(Runnable& added) noexcept {
        added.next = nullptr;
        added.previous = tail_;
        (tail_ ? tail_->next : head_) = &added;
        tail_ = &added;
        ++size_;
    }

    Runnable* pop_front() noexcept {
        Runnable* const first = head_;
        if (!first) return nullptr;
        head_ = first->next;
        (head_ ? head_->previous : tail_) = nullptr;
        --size_;
        return first;
    }

    Runnable* pop_back() noexcept {
        Runnable* const last = tail_;
        if (!last) return nullptr;
        tail_ = last->previous;
        (tail_ ? tail_->next : head_) = nullptr;
        --size_;
        return last;
    }

  private:
    Runnable* head_ = nullptr;
    Runnable* tail_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace muster::detail
