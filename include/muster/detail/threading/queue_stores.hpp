// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

namespace muster::detail {

// How a queue keeps its items. All three have the same shape:
//
//     store.add(value);           // If it throws, nothing has changed.
//     T item(std::move(store.next()));
//     Removed removed = store.remove_next();  // What is left of it. Does not throw.
//
// No item is destroyed but with a `Removed` or the whole store, so the queue decides when.

/// Gives the oldest item first.
template <typename T>
class FifoStore {
  public:
    using Removed = std::list<T>;

    [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }

    template <typename U>
    void add(U&& value) {
        items_.emplace_back(std::forward<U>(value));
    }
    T& next() noexcept { return items_.front(); }
    Removed remove_next() noexcept { return remove(items_.begin()); }
    void swap(FifoStore& other) noexcept { items_.swap(other.items_); }

  protected:
    Removed remove(typename std::list<T>::iterator item) noexcept {
        Removed removed;
        removed.splice(removed.begin(), items_, item);
        return removed;
    }

    std::list<T> items_;
};

/// Gives the newest item first.
template <typename T>
class LifoStore : public FifoStore<T> {
  public:
    T& next() noexcept { return this->items_.back(); }
    typename FifoStore<T>::Removed remove_next() noexcept {
        return this->remove(std::prev(this->items_.end()));
    }
};

/// Gives the smallest item first, equals in the order in which they came.
template <typename T>
class PriorityStore {
    /// Holds the item; until it does, it stands for one that is somewhere else.
    struct Entry {
        explicit Entry(const T& elsewhere) : item{std::addressof(elsewhere)} {}
        mutable const T* item;
        mutable std::optional<T> kept;
    };
    struct Less {
        bool operator()(const Entry& one, const Entry& other) const {
            return *one.item < *other.item;
        }
    };
    using Entries = std::multiset<Entry, Less>;

  public:
    using Removed = typename Entries::node_type;

    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

    template <typename U>
    void add(U&& value) {
        if constexpr (std::is_same_v<std::remove_cvref_t<U>, T>) {
            // Found its place before it is moved from: who compares may throw.
            const auto place = entries_.emplace(value);
            try {
                place->kept.emplace(std::forward<U>(value));
            } catch (...) {
                entries_.erase(place);
                throw;
            }
            place->item = std::addressof(*place->kept);
        } else {
            add(T(std::forward<U>(value)));
        }
    }
    T& next() noexcept { return *entries_.begin()->kept; }
    Removed remove_next() noexcept { return entries_.extract(entries_.begin()); }
    void swap(PriorityStore& other) noexcept { entries_.swap(other.entries_); }

  private:
    Entries entries_;
};

}  // namespace muster::detail
