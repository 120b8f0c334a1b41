// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/detail/threading/queue_state.hpp>
#include <muster/detail/threading/queue_stores.hpp>

namespace muster {
namespace detail {

/// What all queues can do; they differ in which item comes first.
template <typename T, typename Store>
class QueueHandle {
  public:
    /// Without a bound.
    QueueHandle() : QueueHandle(0) {}
    /// For at most `maxsize` items; 0 is no bound. **Throws**: `std::invalid_argument` for a
    /// negative number.
    template <std::integral Count>
    explicit QueueHandle(Count maxsize)
        : state_{std::in_place, checked_size(maxsize, 0, "the maxsize of a queue")} {}

    /// Adds an item. **Blocks** while the queue is full.
    ///
    /// **Throws**: `QueueShutDown` when the queue is or gets shut down. What moving or comparing
    /// items throws: the queue is then as it was. Whenever the item was not added, it was not moved
    /// from either.
    template <typename U = T>
        requires std::constructible_from<T, U>
    void put(U&& value) const {
        state_->put(std::forward<U>(value), std::nullopt);
    }

    /// As `put`, but returns false when the queue is full.
    template <typename U = T>
        requires std::constructible_from<T, U>
    [[nodiscard]] bool try_put(U&& value) const {
        return state_->put(std::forward<U>(value), at_once);
    }

    /// As `put`, for at most `timeout`; zero or less only tries. False when the time is up.
    template <typename U = T, typename Rep, typename Period>
        requires std::constructible_from<T, U>
    [[nodiscard]] bool put_for(U&& value, std::chrono::duration<Rep, Period> timeout) const {
        return state_->put(std::forward<U>(value), deadline_after(timeout));
    }

    /// Takes the next item. **Blocks** until there is one, or the queue is shut down and empty:
    /// then, and only then, there is none in what it returns.
    ///
    /// **Throws**: what moving an item throws, which then stays in the queue.
    [[nodiscard]] std::optional<T> get() const { return state_->get(std::nullopt); }

    /// The next item, if there is one.
    [[nodiscard]] std::optional<T> try_get() const { return state_->get(at_once); }

    /// The next item, if one comes within `timeout`; zero or less only tries.
    template <typename Rep, typename Period>
    [[nodiscard]] std::optional<T> get_for(std::chrono::duration<Rep, Period> timeout) const {
        return state_->get(deadline_after(timeout));
    }

    /// How many items it holds; by the time you read it, others may have changed that.
    [[nodiscard]] std::size_t size() const { return state_->size(); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] bool full() const { return state_->full(); }

    /// Says that the work on an item which `get` returned is done.
    ///
    /// **Throws**: `InvalidStateError` when it is called more often than items were put.
    void task_done() const { state_->task_done(); }

    /// **Blocks** until `task_done` was called for every item that was put.
    void join() const { state_->join(std::nullopt); }
    /// As `join`, for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool join_for(std::chrono::duration<Rep, Period> timeout) const {
        return state_->join(deadline_after(timeout));
    }

    /// Ends it: `put` throws from now on, and `get` returns what is left and then nothing.
    /// `immediate` drops what is left, and counts it as done.
    void shutdown(bool immediate = false) const { state_->shutdown(immediate); }
    [[nodiscard]] bool is_shutdown() const { return state_->is_shutdown(); }

  private:
    Handle<QueueState<T, Store>> state_;
};

}  // namespace detail

namespace threading {

/// Hands items from some threads to others: first in, first out.
///
///     muster::threading::Queue<std::string> lines{100};
///     muster::threading::Thread reader{[lines] {
///         while (auto line = lines.get()) std::puts(line->c_str());
///     }};
///     reader.start();
///     lines.put("hello");
///     lines.shutdown();  // The reader gets what is left, and ends.
///
/// Its calls are `put`, `try_put`, `put_for`, `get`, `try_get`, `get_for`, `size`, `empty`, `full`,
/// `task_done`, `join`, `join_for`, `shutdown` and `is_shutdown`. Items need no more than a move
/// constructor. A copy is the same queue.
///
/// Thread safety: all members, also called by destructors of items.
template <typename T>
class Queue : public detail::QueueHandle<T, detail::FifoStore<T>> {
  public:
    using detail::QueueHandle<T, detail::FifoStore<T>>::QueueHandle;
};

/// A `Queue` that gives the newest item first.
template <typename T>
class LifoQueue : public detail::QueueHandle<T, detail::LifoStore<T>> {
  public:
    using detail::QueueHandle<T, detail::LifoStore<T>>::QueueHandle;
};

/// A `Queue` that gives the smallest item first, by `<`; equals in the order in which they came.
template <typename T>
class PriorityQueue : public detail::QueueHandle<T, detail::PriorityStore<T>> {
  public:
    using detail::QueueHandle<T, detail::PriorityStore<T>>::QueueHandle;
};

}  // namespace threading
}  // namespace muster
