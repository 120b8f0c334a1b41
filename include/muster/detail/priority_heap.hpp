// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <muster/detail/runnable.hpp>

namespace muster::detail {

/// Runnables by priority, higher first, equals in the order of their submission.
///
/// A pairing heap through their own links (`next`: sibling, `previous`: first child), so that
/// queueing allocates nothing. Complexity: push O(1), pop O(log n) amortised.
class PriorityHeap {
  public:
    [[nodiscard]] bool empty() const noexcept { return root_ == nullptr; }
    [[nodiscard]] Runnable* top() const noexcept { return root_; }

    void push(Runnable& added) noexcept {
        // Time stamps may be equal; as the place in the order they must not be.
        if (added.submitted_ns <= newest_ns_) added.submitted_ns = newest_ns_ + 1;
        newest_ns_ = added.submitted_ns;
        added.next = added.previous = nullptr;
        root_ = meld(root_, &added);
    }

    Runnable* pop() noexcept {
        Runnable* const first = root_;
        if (!first) return nullptr;
        // Two passes: pair the children from left to right, then meld the pairs.
        Runnable* pairs = nullptr;
        for (Runnable* child = first->previous; child;) {
            Runnable* const one = child;
            Runnable* const other = one->next;
            child = other ? other->next : nullptr;
            one->next = nullptr;
            if (other) other->next = nullptr;
            Runnable* const pair = meld(one, other);
            pair->next = pairs;
            pairs = pair;
        }
        root_ = nullptr;
        while (pairs) {
            Runnable* const following = pairs->next;
            pairs->next = nullptr;
            root_ = meld(root_, pairs);
            pairs = following;
        }
        return first;
    }

  private:
    static bool before(const Runnable& one, const Runnable& other) noexcept {
        if (one.priority != other.priority) return one.priority > other.priority;
        return one.submitted_ns < other.submitted_ns;
    }

    static Runnable* meld(Runnable* one, Runnable* other) noexcept {
        if (!one || !other) return one ? one : other;
        if (before(*other, *one)) std::swap(one, other);
        other->next = one->previous;
        one->previous = other;
        return one;
    }

    Runnable* root_ = nullptr;
    std::int64_t newest_ns_ = 0;
};

}  // namespace muster::detail
