// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/claims.hpp>
#include <muster/detail/family/shared_gate.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A semaphore in the family's memory.
///
/// The permits that a process has taken and not given back are the claim of its reference. What is
/// taken counts from the initial number: so a semaphore that starts with none, which is a signal
/// rather than a stock, has no claims at all.
struct SharedSemaphore {
    static constexpr BlockKind kind = BlockKind::semaphore;

    SharedSemaphore(std::uint64_t permits, bool is_bounded)
        : value{permits}, initial{permits}, bounded{is_bounded ? 1U : 0U} {}

    /// Blocks: at most until the deadline. False when it passed.
    bool acquire(Block& reference, const Deadline& deadline) {
        return gate.wait_until(
            [&] {
                GuardedChange change(guard);
                const std::uint64_t left = value.load();
                if (left == 0) return false;
                change.set(value, left - 1);
                claims.add(change, reference, taken(left - 1));
                change.commit();
                return true;
            },
            deadline);
    }

    /// Throws: `InvalidStateError` if it is bounded and had not so many to get back.
    void release(FamilyMemory& memory, Block& reference, std::uint64_t count) {
        {
            GuardedChange change(guard);
            const std::uint64_t next = value.load() + count;
            if (bounded.load() != 0 && next > initial.load())
                throw InvalidStateError(
                    "muster: release(" + std::to_string(count) + ") of a semaphore that has " +
                    std::to_string(value.load()) + " permits of at most " +
                    std::to_string(initial.load()) + ": release only what was acquired");
            change.set(value, next);
            claims.give_back(change, memory, reference, count, taken(next));
        }
        gate.notify(count);
    }

    /// What a process has taken stays taken when it lets go of the semaphore, for others to release.
    void forget(Block& reference) {
        GuardedChange change(guard);
        (void)claims.forget(change, reference);
        change.commit();
    }

    /// What a dead process had is given back.
    void bury(Block& reference) {
        {
            GuardedChange change(guard);
            const std::uint64_t held = claims.forget(change, reference);
            change.set(value, value.load() + std::min(held, taken(value.load())));
            change.commit();
        }
        gate.notify_all();
    }

    Guard guard;
    SharedWord value;
    SharedWord initial;
    SharedWord bounded;
    Claims claims;
    SharedGate gate;

  private:
    /// Of the initial number, when there are so many.
    [[nodiscard]] std::uint64_t taken(std::uint64_t there) const noexcept {
        return initial.load() - std::min(initial.load(), there);
    }
};

}  // namespace muster::detail
