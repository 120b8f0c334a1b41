// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <muster/detail/spin.hpp>

namespace muster::detail {

class StateBase;

/// What is to happen when a future is done: a callback, a link of a chain, or a waiter's wake-up.
class Continuation {
  public:
    /// Immediate ones belong to waiters: short, no user code. They run before all others and never
    /// move to another thread, so that a slow callback delays no wait. Links are of type `Link`.
    enum class Kind : std::uint8_t { immediate, callback, link };

    explicit Continuation(Kind kind) noexcept : kind_{kind} {}
    Continuation(const Continuation&) = delete;
    Continuation& operator=(const Continuation&) = delete;

    /// Runs once, after `state` is done, and disposes of itself.
    virtual void run(StateBase& state) noexcept = 0;

    [[nodiscard]] bool immediate() const noexcept { return kind_ == Kind::immediate; }
    [[nodiscard]] bool link() const noexcept { return kind_ == Kind::link; }

    Continuation* next = nullptr;

  protected:
    ~Continuation() = default;

  private:
    Kind kind_;
};

/// The continuations of one future, in eight bytes: added until it is closed, once.
///
/// Adding is lock-free; a removal (a wait that timed out) locks the list with the lowest bit.
// A model of the protocol stands in tests/models/future.pml.
class ContinuationList {
  public:
    /// False when the list is closed: the future is done, and `added` is the caller's to run.
    bool add(Continuation& added) noexcept {
        std::uintptr_t head = head_.load(std::memory_order_acquire);
        for (;;) {
            if (head == closed) return false;
            head &= ~locked;  // A locked list makes the exchange fail, so we try again.
            added.next = to_pointer(head);
            if (head_.compare_exchange_weak(head, to_word(&added), std::memory_order_acq_rel,
                                            std::memory_order_acquire))
                return true;
            pause();
        }
    }

    /// Takes `unwanted` out. False when the list is closed: it has run or is about to.
    bool remove(Continuation& unwanted) noexcept {
        std::uintptr_t head = 0;
        if (!lock(head)) return false;
        Continuation* first = to_pointer(head);
        if (first == &unwanted) {
            first = first->next;
        } else {
            Continuation* before = first;
            while (before->next != &unwanted) before = before->next;
            before->next = unwanted.next;
        }
        head_.store(to_word(first), std::memory_order_release);
        return true;
    }

    /// Closes the list and returns what was in it, oldest first, linked by `next`.
    [[nodiscard]] Continuation* close() noexcept {
        std::uintptr_t head = head_.load(std::memory_order_acquire);
        for (;;) {
            head &= ~locked;
            // Acquire: sees what the adders wrote into their nodes.
            if (head_.compare_exchange_weak(head, closed, std::memory_order_acq_rel,
                                            std::memory_order_acquire))
                break;
            pause();
        }
        Continuation* oldest = nullptr;
        for (Continuation* node = to_pointer(head); node != nullptr;) {
            Continuation* const following = node->next;
            node->next = oldest;
            oldest = node;
            node = following;
        }
        return oldest;
    }

  private:
    static constexpr std::uintptr_t locked = 1;
    static constexpr std::uintptr_t closed = 2;

    static Continuation* to_pointer(std::uintptr_t word) noexcept {
        return reinterpret_cast<Continuation*>(word);
    }
    static std::uintptr_t to_word(Continuation* node) noexcept {
        return reinterpret_cast<std::uintptr_t>(node);
    }

    bool lock(std::uintptr_t& head) noexcept {
        head = head_.load(std::memory_order_acquire);
        for (;;) {
            if (head == closed) return false;
            head &= ~locked;
            if (head_.compare_exchange_weak(head, head | locked, std::memory_order_acq_rel,
                                            std::memory_order_acquire))
                return true;
            pause();
        }
    }

    std::atomic<std::uintptr_t> head_{0};
};

}  // namespace muster::detail
