// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/queue_item.hpp>
#include <muster/detail/family/shared_queue.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// Hands items from some processes to others: first in, first out.
///
///     muster::multiprocessing::Queue<std::string> lines{100};
///     auto longest = pool.submit([](muster::multiprocessing::Queue<std::string> its) {
///         std::size_t most = 0;
///         while (auto line = its.get()) most = std::max(most, line->size());
///         return most;
///     }, lines);
///     lines.put("hello");
///     lines.shutdown();  // The reader gets what is left, and ends.
///
/// Items are serialized, and may be of any size. There may be any number of producers and consumers,
/// in any process. When one of them dies, at whatever moment, the others go on: what it had put is in
/// the queue, what it had taken is lost with it, and nothing else is lost or comes twice. A copy is
/// the same queue, in other processes too, also as an item of another queue.
///
/// Thread safety: all members.
template <typename T>
class Queue {
  public:
    /// Without a bound but memory.
    Queue() : Queue(0) {}
    /// For at most `maxsize` items; 0 is no bound.
    /// **Throws**: `std::invalid_argument` for a negative number; `std::system_error`.
    template <std::integral Count>
    explicit Queue(Count maxsize)
        : handle_{std::in_place, 0, detail::checked_size(maxsize, 0, "the maxsize of a queue")} {}

    /// Adds an item. **Blocks** while the queue is full.
    ///
    /// **Throws**: `QueueShutDown` when the queue is or gets shut down. What serializing the item
    /// throws; `std::bad_alloc` when the family's memory is full. The queue is then as it was.
    void put(const T& value) const { (void)put_until(value, std::nullopt); }

    /// As `put`, but returns false when the queue is full.
    [[nodiscard]] bool try_put(const T& value) const { return put_until(value, detail::at_once); }

    /// As `put`, for at most `timeout`; zero or less only tries. False when the time is up.
    template <typename Rep, typename Period>
    [[nodiscard]] bool put_for(const T& value, std::chrono::duration<Rep, Period> timeout) const {
        return put_until(value, detail::deadline_after(timeout));
    }

    /// Takes the next item. **Blocks** until there is one, or the queue is shut down and empty:
    /// then, and only then, there is none in what it returns.
    ///
    /// **Throws**: what reading the item throws, which then is gone.
    [[nodiscard]] std::optional<T> get() const { return get_until(std::nullopt); }

    /// The next item, if there is one.
    [[nodiscard]] std::optional<T> try_get() const { return get_until(detail::at_once); }

    /// The next item, if one comes within `timeout`; zero or less only tries.
    template <typename Rep, typename Period>
    [[nodiscard]] std::optional<T> get_for(std::chrono::duration<Rep, Period> timeout) const {
        return get_until(detail::deadline_after(timeout));
    }

    /// How many items it holds; by the time you read it, others may have changed that.
    [[nodiscard]] std::size_t size() const { return handle_->size(); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] bool full() const { return handle_->is_full(); }

    /// Says that the work on an item which `get` returned is done. For the items that a process had
    /// taken when it died, its parent says so.
    ///
    /// **Throws**: `InvalidStateError` when it is called more often than items were put.
    void task_done() const { handle_->task_done(handle_.memory(), handle_.own()); }

    /// **Blocks** until `task_done` was called for every item that was put.
    void join() const { (void)handle_->join(std::nullopt); }
    /// As `join`, for at most `timeout`; zero or less only looks. False when the time is up.
    template <typename Rep, typename Period>
    bool join_for(std::chrono::duration<Rep, Period> timeout) const {
        return handle_->join(detail::deadline_after(timeout));
    }

    /// Ends it: `put` throws from now on, and `get` returns what is left and then nothing.
    /// `immediate` drops what is left, and counts it as done.
    void shutdown(bool immediate = false) const {
        handle_->close();
        if (!immediate) return;
        while (const auto item = handle_->discard_first(handle_.memory()))
            detail::free_item(handle_.memory(), *item);
        handle_->wake_all();
    }
    [[nodiscard]] bool is_shutdown() const { return handle_->closed.load() != 0; }

  private:
    friend class muster::Access;
    explicit Queue(Access::Unread) {}
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(handle_);
    }

    bool put_until(const T& value, const detail::Deadline& deadline) const {
        detail::require_serializable<T>();
        if constexpr (Serializable<T>) {
            (void)handle_.own();
            detail::ItemBuffer buffer(handle_.memory(), sizeof(T));
            detail::Encoder out(buffer);
            detail::encode<T>(out, value);
            if (!handle_->put(handle_.memory(), buffer.finish(), deadline)) return false;
            buffer.forget();
        }
        return true;
    }
    std::optional<T> get_until(const detail::Deadline& deadline) const {
        detail::TakenItem taken(handle_.memory());
        if (!handle_->get(handle_.memory(), handle_.own(), taken.item, deadline))
            return std::nullopt;
        detail::Decoder in(taken.bytes());
        std::optional<T> value(detail::decode<T>(in));
        in.template expect_end<T>();
        return value;
    }

    detail::SharedHandle<detail::SharedQueue, detail::BlockKind::queue> handle_;
};

}  // namespace muster::multiprocessing
