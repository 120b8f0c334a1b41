// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/waiters.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// What is behind a queue, whatever the order in which its `Store` gives the items.
///
/// Items are made and moved with the mutex held, but destroyed without: their destructors may call
/// the queue.
template <typename T, typename Store>
class QueueState {
  public:
    /// 0: no bound.
    explicit QueueState(std::size_t maxsize) : maxsize_{maxsize} {}

    /// False when the deadline passed. A `value` that can be moved from then is as it was.
    template <typename U>
    bool put(U&& value, const Deadline& deadline) {
        if constexpr (std::is_lvalue_reference_v<U>) {
            return put(T(value), deadline);  // A copy may take long; nobody waits for it.
        } else {
            Chosen chosen;
            std::unique_lock held(mutex_);
            for (;;) {
                if (shut_down_)
                    throw QueueShutDown(
                        "muster: put() into a queue that was shut down; it takes no more items");
                if (!is_full()) break;
                if (expired(deadline)) return false;
                if (putters_.wait(held, deadline) != 0) held.lock();
            }
            try {
                items_.add(std::forward<U>(value));
            } catch (...) {
                putters_.choose(chosen, 1);  // The room is another's.
                throw;
            }
            ++unfinished_;
            getters_.choose(chosen, 1);
            return true;
        }
    }

    /// Empty when the deadline passed, or when nothing more comes.
    std::optional<T> get(const Deadline& deadline) {
        typename Store::Removed removed;
        std::optional<T> item;  // All return this one, so that it isn't moved again.
        Chosen chosen;
        std::unique_lock held(mutex_);
        while (items_.size() == 0) {
            if (shut_down_ || expired(deadline)) return item;
            if (getters_.wait(held, deadline) != 0) held.lock();
        }
        try {
            item.emplace(std::move(items_.next()));
        } catch (...) {
            getters_.choose(chosen, 1);  // It is another's.
            throw;
        }
        removed = items_.remove_next();
        putters_.choose(chosen, 1);
        return item;
    }

    void task_done() {
        Chosen chosen;
        const std::lock_guard held(mutex_);
        if (unfinished_ == 0)
            throw InvalidStateError(
                "muster: task_done() was called more often than items were put into the queue: "
                "call it once for each item that was got");
        finish(chosen, 1);
    }

    /// False when the deadline passed.
    bool join(const Deadline& deadline) {
        std::unique_lock held(mutex_);
        return unfinished_ == 0 || (!expired(deadline) && joiners_.wait(held, deadline) != 0);
    }

    void shutdown(bool immediate) {
        Store dropped;
        Chosen chosen;
        const std::lock_guard held(mutex_);
        shut_down_ = true;
        getters_.choose(chosen, Waiters::all);
        putters_.choose(chosen, Waiters::all);
        if (!immediate) return;
        dropped.swap(items_);
        finish(chosen, std::min(dropped.size(), unfinished_));
    }

    [[nodiscard]] std::size_t size() {
        const std::lock_guard held(mutex_);
        return items_.size();
    }
    [[nodiscard]] bool full() {
        const std::lock_guard held(mutex_);
        return is_full();
    }
    [[nodiscard]] bool is_shutdown() {
        const std::lock_guard held(mutex_);
        return shut_down_;
    }

  private:
    // These require that the mutex is held.

    [[nodiscard]] bool is_full() const { return maxsize_ != 0 && items_.size() >= maxsize_; }

    void finish(Chosen& chosen, std::size_t count) {
        unfinished_ -= count;
        if (unfinished_ == 0) joiners_.choose(chosen, Waiters::all);
    }

    const std::size_t maxsize_;
    std::mutex mutex_;
    Store items_;
    std::size_t unfinished_ = 0;
    bool shut_down_ = false;
    Waiters putters_;
    Waiters getters_;
    Waiters joiners_;
};

}  // namespace muster::detail
