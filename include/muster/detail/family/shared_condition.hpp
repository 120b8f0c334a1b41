// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_gate.hpp>

namespace muster::detail {

/// A condition in the family's memory.
///
/// Who waits has a number. A notification is a permit to go on, for one of those who had theirs by
/// then: who comes later cannot take it. How many threads of a process wait is the claim of its
/// reference.
struct SharedCondition {
    static constexpr BlockKind kind = BlockKind::condition;

    /// Counts the caller as waiting; returns its number.
    std::uint64_t enter(Block& reference) {
        GuardedChange change(guard);
        const std::uint64_t number = numbers.load();
        change.set(numbers, number + 1);
        change.set(waiting, waiting.load() + 1);
        change.set(reference.claim, reference.claim.load() + 1);
        change.commit();
        return number;
    }

    /// Blocks until notified, at most until the deadline. Then the caller waits no more.
    bool wait(Block& reference, std::uint64_t number, const Deadline& deadline) {
        const bool notified = gate.wait_until(
            [&] {
                GuardedChange change(guard);
                if (permits.load() == 0 || number >= notified_below.load()) return false;
                change.set(permits, permits.load() - 1);
                leave(change, reference);
                return true;
            },
            deadline);
        if (!notified) {
            GuardedChange change(guard);
            leave(change, reference);
        }
        return notified;
    }

    void notify(std::uint64_t count) {
        {
            GuardedChange change(guard);
            const std::uint64_t more = std::min(count, waiting.load() - permits.load());
            if (more == 0) return;
            change.set(permits, permits.load() + more);
            change.set(notified_below, numbers.load());
            change.commit();
        }
        gate.notify_all();  // The one who may go on may be any of those who sleep.
    }

    /// Who died waits no more; a permit that it may have been given is another's.
    void bury(Block& reference) {
        {
            GuardedChange change(guard);
            const std::uint64_t left = waiting.load() - reference.claim.load();
            change.set(waiting, left);
            change.set(permits, std::min(permits.load(), left));
            change.set(reference.claim, 0);
            change.commit();
        }
        gate.notify_all();
    }

    Guard guard;
    SharedWord numbers{0};
    SharedWord waiting{0};
    SharedWord permits{0};         ///< Never more than wait.
    SharedWord notified_below{0};  ///< Who has a lower number may take one.
    SharedGate gate;

  private:
    void leave(GuardedChange& change, Block& reference) {
        change.set(waiting, waiting.load() - 1);
        change.set(reference.claim, reference.claim.load() - 1);
        change.commit();
    }
};

}  // namespace muster::detail
