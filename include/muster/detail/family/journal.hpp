// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <muster/detail/os.hpp>
#include <muster/detail/spin.hpp>

namespace muster::detail {

/// A word in the memory that a family of processes shares.
using SharedWord = std::atomic<std::uint64_t>;

/// Guards words in shared memory, so that those that belong together change together, even if who
/// changes them is killed at any instruction.
///
/// A change is first written down in full; one store makes it valid; then it is carried out. Who
/// finds the guard left by a dead process carries out what had become valid: that may have been done
/// in part, and doing it twice does no harm.
///
///     GuardedChange change(guard);       // locks
///     if (count.load() == 0) return;     // reads see what is valid
///     change.set(count, count.load() - 1);
///     change.set(head, next);
///     change.commit();                   // all or nothing; unlocks when it goes
///
/// Nobody sleeps while holding it. Thread safety: all processes that map it.
// A model of the protocol stands in tests/models/journal.pml.
class Guard {
  public:
    Guard() = default;

  private:
    friend class GuardedChange;
    static constexpr std::size_t most_words = 12;

    struct Entry {
        std::atomic<std::int64_t> distance{0};  // From this guard: processes map it anywhere.
        SharedWord value{0};
    };

    void carry_out() noexcept {
        // acquire: pairs with the store in commit(), by this thread or by one that died.
        const std::size_t count = count_.load(std::memory_order_acquire);
        for (std::size_t i = 0; i < count && i < most_words; ++i) {
            auto* const place = reinterpret_cast<std::byte*>(this) +
                                entries_[i].distance.load(std::memory_order_relaxed);
            reinterpret_cast<SharedWord*>(place)->store(
                entries_[i].value.load(std::memory_order_relaxed), std::memory_order_release);
        }
        count_.store(0, std::memory_order_release);
        // What the next change notes comes after, wherever this thread is killed.
        std::atomic_signal_fence(std::memory_order_seq_cst);
    }

    os::RobustMutex mutex_;
    std::atomic<std::uint64_t> count_{0};  // Not 0: so many entries are valid.
    std::array<Entry, most_words> entries_{};
};

/// Holds a guard, and changes what it guards.
class GuardedChange {
  public:
    /// Throws: `std::system_error`.
    explicit GuardedChange(Guard& guard) : guard_{guard} {
        // It is held for some instructions: not worth a sleep.
        os::Locked got = guard.mutex_.try_lock();
        for (int i = 0; i < 100 && got == os::Locked::no; ++i) {
            pause();
            if (!guard.mutex_.held()) got = guard.mutex_.try_lock();
        }
        if (got == os::Locked::no) got = guard.mutex_.lock();
        if (got == os::Locked::after_death) guard.carry_out();
    }
    GuardedChange(const GuardedChange&) = delete;
    GuardedChange& operator=(const GuardedChange&) = delete;
    ~GuardedChange() { (void)guard_.mutex_.unlock(); }

    /// Notes that `word`, of the same shared memory, is to become `value`.
    void set(SharedWord& word, std::uint64_t value) noexcept {
        assert(count_ < Guard::most_words);
        Guard::Entry& entry = guard_.entries_[count_++];
        entry.distance.store(
            reinterpret_cast<std::byte*>(&word) - reinterpret_cast<std::byte*>(&guard_),
            std::memory_order_relaxed);
        entry.value.store(value, std::memory_order_relaxed);
    }

    /// Makes all that was noted happen. More may be noted afterwards.
    void commit() noexcept {
        // release: whoever sees the count sees the entries. Read in carry_out().
        guard_.count_.store(std::exchange(count_, 0), std::memory_order_release);
        guard_.carry_out();
    }

  private:
    Guard& guard_;
    std::size_t count_ = 0;
};

}  // namespace muster::detail
