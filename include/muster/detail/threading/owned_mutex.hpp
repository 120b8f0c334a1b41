// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/spin.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A mutex that knows who holds it, and how many times over.
class OwnedMutex {
  public:
    enum class Kind { plain, recursive };

    explicit OwnedMutex(Kind kind) noexcept : kind_{kind} {}

    /// False when the deadline passed first. **Throws**: `InvalidStateError` when it never would,
    /// because this very thread holds it.
    bool lock(const Deadline& deadline) {
        if (held_here()) {
            if (kind_ == Kind::recursive) return ++depth_ != 0;
            if (!deadline)
                throw InvalidStateError(
                    "muster: lock() by the thread that holds this Lock already would never return; "
                    "unlock() it first, or use an RLock");
        }
        return acquire(deadline);
    }

    bool try_lock() noexcept {
        if (kind_ == Kind::recursive && held_here()) return ++depth_ != 0;
        return take();
    }

    /// **Throws**: `InvalidStateError` when this thread does not hold it.
    void unlock() {
        throw_unless_held("unlock()");
        if (--depth_ == 0) release();
    }

    /// Whether the calling thread holds it.
    [[nodiscard]] bool held_here() const noexcept {
        // A thread sees its own stores, and only they name it: no other order is needed.
        return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    /// Whether any thread holds it.
    [[nodiscard]] bool held() const noexcept {
        return word_.load(std::memory_order_relaxed) != free;
    }
    /// **Throws**: `InvalidStateError`, saying that it was for `call`.
    void throw_unless_held(const char* call) const {
        if (!held_here())
            throw InvalidStateError(
                std::string("muster: ") + call + " needs a lock that " +
                (held() ? "this thread holds, but another one does" : "is held, but nobody does"));
    }

    /// Unlocks it wholly. Returns what `restore` needs. Requires: the calling thread holds it.
    std::size_t release_wholly() noexcept {
        const std::size_t depth = std::exchange(depth_, 0);
        release();
        return depth;
    }
    /// Locks it again, as many times over as before.
    void restore(std::size_t depth) noexcept {
        acquire(std::nullopt);
        depth_ = depth;
    }

  private:
    enum Word : std::uint32_t { free, taken, contended };  // contended: unlocking wakes somebody.

    bool take() noexcept {
        std::uint32_t seen = word_.load(std::memory_order_relaxed);
        // acquire: pairs with the release that freed it.
        if (seen != free || !word_.compare_exchange_strong(seen, taken, std::memory_order_acquire,
                                                           std::memory_order_relaxed))
            return false;
        own();
        return true;
    }

    bool acquire(const Deadline& deadline) noexcept {
        if (spin_until([this] { return take(); })) return true;
        // Marked as contended also by the one who gets it: others may sleep still.
        while (word_.exchange(contended, std::memory_order_acquire) != free)
            if (!os::sleep_on(word_, contended, deadline)) return false;
        own();
        return true;
    }
    void own() noexcept {
        owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        depth_ = 1;
    }

    void release() noexcept {
        owner_.store({}, std::memory_order_relaxed);
        // Whoever has it next may destroy it: waking needs no more than the address.
        if (word_.exchange(free, std::memory_order_release) == contended) os::wake_one(word_);
    }

    const Kind kind_;
    std::atomic<std::uint32_t> word_{free};
    std::atomic<std::thread::id> owner_{};
    std::size_t depth_ = 0;  // The holder's.
};

}  // namespace muster::detail
