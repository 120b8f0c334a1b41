// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A lock in the family's memory.
///
/// Once its holder has died, everyone is told, and none gets it, until someone recovers it. All
/// words but the mutex belong to who holds that.
struct SharedLock {
    static constexpr BlockKind kind = BlockKind::lock;
    enum class Wanted : std::uint8_t { ordinary, abandoned_too };

    /// Blocks: at most until the deadline.
    /// Throws: `AbandonedLock`; then the caller does not hold it.
    os::Locked lock(const Deadline& deadline, Wanted wanted = Wanted::ordinary) {
        const os::Locked got = mutex.lock(deadline);
        if (got == os::Locked::by_caller) return got;
        if (got == os::Locked::no) {
            // Who has it may be another one who is being told.
            if (abandoned.load() != 0 && holder.load() == 0) throw_abandoned();
            return got;
        }
        if (got == os::Locked::after_death) {
            abandoned.store(1);
            holder.store(0);
        }
        if (abandoned.load() != 0 && wanted == Wanted::ordinary) {
            (void)mutex.unlock();
            throw_abandoned();
        }
        holder.store(own_number());
        depth.store(1);
        return os::Locked::yes;
    }

    [[nodiscard]] bool held_by_caller() const { return holder.load() == own_number(); }

    /// Requires: held_by_caller().
    void unlock() noexcept {
        depth.store(0);
        holder.store(0);
        abandoned.store(0);  // Whoever gets it while it is abandoned has recovered it.
        (void)mutex.unlock();
    }

    os::RobustMutex mutex;
    SharedWord abandoned{0};
    SharedWord holder{0};  ///< Its thread, as the system numbers them; 0: none.
    SharedWord depth{0};   ///< Of a recursive one: how often its holder has it.

  private:
    [[noreturn]] static void throw_abandoned() {
        throw AbandonedLock(
            "muster: the process that held this lock has died, and what the lock guards may be "
            "half changed: call recover(), mend it, and unlock()");
    }
    static std::uint64_t own_number() { return static_cast<std::uint64_t>(os::thread_id()); }
};

}  // namespace muster::detail
