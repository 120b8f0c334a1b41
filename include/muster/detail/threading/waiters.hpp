// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>

#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>

namespace muster::detail {

/// A thread that waits. Lies on its stack.
struct Waiter {
    std::atomic<std::uint32_t> message{0};  ///< What it was woken with.
    Waiter* previous = nullptr;
    Waiter* next = nullptr;
    bool chosen = false;  ///< It is in no queue any more, and will be woken.
    std::uint32_t to_tell = 0;
};

/// Waiters that were chosen to be woken, which this does when it goes.
///
/// Declare it before the lock of the mutex that guards the waiters: they are then woken with the
/// mutex free, and don't run into it.
class Chosen {
  public:
    Chosen() = default;
    Chosen(const Chosen&) = delete;
    Chosen& operator=(const Chosen&) = delete;
    ~Chosen() {
        while (Waiter* const waiter = first_) {
            first_ = waiter->next;
            std::atomic<std::uint32_t>& word = waiter->message;
            // Pairs with the loads in wait(). From here on the waiter may be gone; waking needs no
            // more than the address that it had.
            word.store(waiter->to_tell, std::memory_order_release);
            os::wake_one(word);
        }
    }

    void add(Waiter& waiter) noexcept {
        waiter.next = nullptr;
        (last_ ? last_->next : first_) = &waiter;
        last_ = &waiter;
    }

  private:
    Waiter* first_ = nullptr;
    Waiter* last_ = nullptr;
};

/// Threads that sleep until others wake them, first come first served.
///
/// Each is woken once, with a message, and nothing that happens later changes what it has learned.
/// In a copy of the process nobody waits: the thread that forked did not, the others aren't there.
/// **Thread safety**: none; all of it is guarded by a mutex that its owner has.
class Waiters {
  public:
    static constexpr std::size_t all = (std::numeric_limits<std::size_t>::max)();

    Waiters() = default;
    Waiters(const Waiters&) = delete;
    Waiters& operator=(const Waiters&) = delete;

    /// Sleeps until this thread is woken; `held` is unlocked by that. Returns what it was woken
    /// with; or 0 when the deadline passed first, and `held` is locked then.
    std::uint32_t wait(std::unique_lock<std::mutex>& held, const Deadline& deadline) {
        Waiter me;
        append(me);
        held.unlock();
        for (;;) {
            // Pairs with the store in ~Chosen().
            if (const std::uint32_t message = me.message.load(std::memory_order_acquire))
                return message;
            if (os::sleep_on(me.message, 0, deadline)) continue;
            held.lock();
            if (!me.chosen) break;
            held.unlock();  // Too late to give up: somebody counts on this thread.
            while (me.message.load(std::memory_order_acquire) == 0)
                (void)os::sleep_on(me.message, 0);
        }
        remove(me);
        return 0;
    }

    /// Chooses up to `count` of those who have waited longest; tells them `message`, which isn't 0.
    /// Returns how many there were.
    std::size_t choose(Chosen& chosen, std::size_t count, std::uint32_t message = 1) noexcept {
        forget_lost();
        std::size_t found = 0;
        for (; found < count && first_; ++found) {
            Waiter& waiter = *first_;
            remove(waiter);
            waiter.chosen = true;
            waiter.to_tell = message;
            chosen.add(waiter);
        }
        return found;
    }

    [[nodiscard]] std::size_t size() noexcept {
        forget_lost();
        return size_;
    }

  private:
    /// In a copy of the process: forgets who waited in the original. The stacks on which they lie
    /// may be other threads' by now.
    void forget_lost() noexcept {
        if (generation_ == os::fork_generation()) return;
        generation_ = os::fork_generation();
        first_ = last_ = nullptr;
        size_ = 0;
    }
    void append(Waiter& waiter) noexcept {
        forget_lost();
        waiter.previous = last_;
        (last_ ? last_->next : first_) = &waiter;
        last_ = &waiter;
        ++size_;
    }
    void remove(Waiter& waiter) noexcept {
        (waiter.previous ? waiter.previous->next : first_) = waiter.next;
        (waiter.next ? waiter.next->previous : last_) = waiter.previous;
        --size_;
    }

    Waiter* first_ = nullptr;
    Waiter* last_ = nullptr;
    std::size_t size_ = 0;
    std::uint64_t generation_ = os::fork_generation();
};

}  // namespace muster::detail
