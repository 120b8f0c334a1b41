// SPDX-License-Identifier: MIT
#pragma once

#include <linux/futex.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/posix/futex.hpp>
#include <muster/detail/posix/robust_list.hpp>

namespace muster::detail::posix {

/// What an attempt to lock came to.
enum class Locked : std::uint8_t {
    yes,
    after_death,  ///< It is held now; who held it before died.
    no,           ///< Another thread holds it, or did until the deadline.
    by_caller     ///< The calling thread holds it already.
};

/// A mutex in shared memory whose next owner learns that the one before died with it.
///
/// The C library has robust mutexes that follow the same rules of the system. This one is free of
/// what theirs have to ask at each call, and takes three fifths of the time.
///
/// Lies in memory that processes share, at any address; nothing is to be destroyed.
/// Thread safety: all members, for threads of all processes that map it.
class RobustMutex {
  public:
    RobustMutex() = default;
    RobustMutex(const RobustMutex&) = delete;
    RobustMutex& operator=(const RobustMutex&) = delete;

    /// Blocks: until it is free, at most until the deadline.
    /// Throws: `std::system_error`, as `RobustList::own`.
    Locked lock(const Deadline& deadline = std::nullopt) {
        RobustList& own = RobustList::own();
        own.announce(links_);
        Locked got = take(own, 0);
        if (got == Locked::no && !expired(deadline)) got = wait(own, deadline);
        own.announce_none();
        return got;
    }

    /// Throws: as `lock`.
    Locked try_lock() {
        RobustList& own = RobustList::own();
        own.announce(links_);
        const Locked got = take(own, 0);
        own.announce_none();
        return got;
    }

    /// False if the calling thread does not hold it.
    bool unlock() noexcept {
        return unlock_if([] { return true; });
    }
    /// Asks `last()` whether to unlock it, while the calling thread still holds it. False if it does
    /// not: then nothing is asked. Throws: as `lock`.
    template <typename Last>
    bool unlock_if(Last last) {
        RobustList& own = RobustList::own();
        if (!held_by(own)) return false;
        if (!last()) return true;
        own.announce(links_);
        own.remove(links_);
        // release: pairs with who takes it next.
        const std::uint32_t seen = word().exchange(0, std::memory_order_release);
        if ((seen & FUTEX_WAITERS) != 0) wake_one(word(), Sharing::processes);
        own.announce_none();
        return true;
    }

    /// Whether some thread holds it at the moment. Who spins looks at that, for an attempt to lock
    /// disturbs the one that holds it.
    [[nodiscard]] bool held() const noexcept {
        return (word().load(std::memory_order_relaxed) & FUTEX_TID_MASK) != 0;
    }
    /// Throws: as `lock`.
    [[nodiscard]] bool held_by_caller() const { return held_by(RobustList::own()); }

  private:
    [[nodiscard]] bool held_by(const RobustList& own) const noexcept {
        return (word().load(std::memory_order_relaxed) & FUTEX_TID_MASK) == own.thread();
    }

    /// Takes it if nobody has it. `sleepers` is FUTEX_WAITERS where others may sleep.
    Locked take(RobustList& own, std::uint32_t sleepers) noexcept {
        std::uint32_t seen = 0;
        // acquire: pairs with the release in unlock().
        while (
            !word().compare_exchange_strong(seen, own.thread() | sleepers | (seen & FUTEX_WAITERS),
                                            std::memory_order_acquire, std::memory_order_relaxed)) {
            const std::uint32_t holder = seen & FUTEX_TID_MASK;
            if (holder != 0) return holder == own.thread() ? Locked::by_caller : Locked::no;
        }
        own.add(links_);
        return (seen & FUTEX_OWNER_DIED) != 0 ? Locked::after_death : Locked::yes;
    }

    Locked wait(RobustList& own, const Deadline& deadline) noexcept {
        // Who is killed just after it was woken, while a third one locks the mutex in passing, takes
        // the note along that others sleep, and nobody would wake them. So nobody sleeps for long.
        constexpr Clock::duration longest = std::chrono::seconds(1);
        Clock::duration nap = longest / 50;
        for (;;) {
            std::uint32_t seen = word().load(std::memory_order_relaxed);
            const bool held = (seen & FUTEX_TID_MASK) != 0;
            if (held && ((seen & FUTEX_WAITERS) != 0 ||
                         word().compare_exchange_strong(seen, seen | FUTEX_WAITERS,
                                                        std::memory_order_relaxed))) {
                // Not before the note is left: the wake-up of another may have come to this thread.
                if (expired(deadline)) return Locked::no;
                (void)sleep_on(word(), seen | FUTEX_WAITERS, earlier(Clock::now() + nap, deadline),
                               Sharing::processes);
                nap = std::min(2 * nap, longest);
            }
            const Locked got = take(own, FUTEX_WAITERS);
            if (got != Locked::no) return got;
        }
    }

    // The word is where the C library's mutexes have theirs, as seen from the links.
    static_assert(sizeof(void*) == 8, "muster needs a system of 64 bits");
    static constexpr long before_node = 32;
    static constexpr std::size_t word_index = (before_node + RobustList::word_distance) / 4;

    [[nodiscard]] std::atomic<std::uint32_t>& word() noexcept { return words_[word_index]; }
    [[nodiscard]] const std::atomic<std::uint32_t>& word() const noexcept {
        return words_[word_index];
    }

    alignas(8) std::array<std::atomic<std::uint32_t>, 6> words_{};
    RobustLinks links_;
};

}  // namespace muster::detail::posix
