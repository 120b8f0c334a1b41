// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A lock in memory that processes share.
///
/// Once its holder has died, everyone is told, and none gets it, until someone recovers it. All
/// words but the mutex belong to who holds that.
struct SharedLock {
    static constexpr BlockKind kind = BlockKind::lock;
    enum class Wanted : std::uint8_t { ordinary, abandoned_too };

    /// Blocks: at most until the deadline.
    /// Throws: `AbandonedLock`, which has what `name()` says, if anything; then the caller does not hold it.
    template <typename Name>
    os::Locked lock(const Deadline& deadline, Wanted wanted, Name name) {
        const os::Locked got = mutex.lock(deadline);
        if (got == os::Locked::by_caller) return got;
        if (got == os::Locked::no) {
            // Who has it may be another one who is being told.
            // In this order, the reverse of unlock()'s: else a recovered lock would seem abandoned.
            if (!locked() && abandoned.load() != 0) throw_abandoned(name());
            return got;
        }
        if (got == os::Locked::after_death) {
            // Not known is which process died while it got the lock, or had let go of all but the mutex.
            // While it is abandoned, nobody has held it since the one whose death is told.
            if (locked())
                dead.store(holder.load());
            else if (abandoned.load() == 0)
                dead.store(0);
            // release: pairs with who did not get it, and reads then who died.
            abandoned.store(1, std::memory_order_release);
            depth.store(0, std::memory_order_relaxed);
        }
        if (abandoned.load() != 0 && wanted == Wanted::ordinary) {
            (void)mutex.unlock();
            throw_abandoned(name());
        }
        // relaxed: others only look; what the lock guards is ordered by the mutex.
        mapping.store(own_mapping(), std::memory_order_relaxed);
        holder.store(os::fork_generation(), std::memory_order_relaxed);
        depth.store(1, std::memory_order_release);  // Last: who has it is known then.
        return os::Locked::yes;
    }

    [[nodiscard]] bool held_by_caller() const { return mutex.held_by_caller(); }
    /// Whether a thread of any process holds it, or died holding it and nobody knows yet.
    [[nodiscard]] bool locked() const noexcept {
        return depth.load(std::memory_order_acquire) != 0;
    }

    /// Lets go of it once. False if the calling thread does not hold it. Throws: as `os::RobustMutex`.
    bool unlock() {
        return mutex.unlock_if([this] {
            const std::uint32_t holds = depth.load(std::memory_order_relaxed);
            if (holds > 1) {
                depth.store(holds - 1, std::memory_order_relaxed);
                return false;
            }
            // Whoever gets it while it is abandoned has recovered it.
            if (abandoned.load(std::memory_order_relaxed) != 0)
                abandoned.store(0, std::memory_order_relaxed);
            depth.store(0, std::memory_order_release);
            return true;
        });
    }

    /// With a name: whether its holder died, and the next one is still to be told.
    [[nodiscard]] bool outlasts_users() const noexcept { return locked() || abandoned.load() != 0; }
    /// Whether a thread of this process has locked it through this mapping. The system, and the
    /// thread when it locks others, then look at the mutex in here.
    [[nodiscard]] bool held_by_process() const {
        // In this order: no thread uses this mapping any more, so the second cannot become true.
        return locked() && mapping.load() == own_mapping();
    }

    os::RobustMutex mutex;
    std::atomic<std::uint32_t> abandoned{0};
    std::atomic<std::uint32_t> depth{0};  ///< How often its holder has it; 0: nobody holds it.
    SharedWord mapping{0};                ///< Through which it was locked last.
    SharedWord holder{0};                 ///< The number of the process that locked it last.
    SharedWord dead{0};                   ///< Of the one that died holding it; 0: not known.

  private:
    [[noreturn]] void throw_abandoned(const std::string& name) const {
        const std::uint64_t number = dead.load();
        // The end of a thread abandons it as well, and a process that is dying still seems to live.
        const bool own = number == os::fork_generation();
        throw AbandonedLock(
            (own ? "muster: a thread of this process " : "muster: the process ") +
            (number == 0 ? std::string() : "(pid " + std::to_string(os::id_in(number)) + ") ") +
            "that held " + (name.empty() ? "this lock" : "the lock '" + name + "'") +
            (own ? " has ended" : ", or the thread in it, has died") +
            ", and what the lock guards may be half changed: call recover(), mend it, and "
            "unlock()");
    }
    /// A number for where this process has the lock.
    [[nodiscard]] std::uint64_t own_mapping() const {
        return os::fork_generation() ^ reinterpret_cast<std::uintptr_t>(this);
    }
};

}  // namespace muster::detail
