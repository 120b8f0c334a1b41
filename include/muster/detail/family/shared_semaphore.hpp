// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_gate.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A semaphore in the family's memory.
///
/// The permits that a process has taken and not given back are the claim of its reference. Permits
/// may be given back by another process than took them: then its claim goes, too. So the claims are
/// never more than what is missing from the initial number, and a semaphore that starts with none,
/// which is a signal rather than a stock, has no claims at all.
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
                if (claimed.load() + left <= initial.load()) {
                    change.set(claimed, claimed.load() + 1);
                    change.set(reference.claim, reference.claim.load() + 1);
                }
                change.commit();
                return true;
            },
            deadline);
    }

    /// Throws: `InvalidStateError` if it is bounded and had no more to get back.
    void release(FamilyMemory& memory, Block& reference, std::uint64_t count) {
        for (std::uint64_t done = 0; done < count; ++done)
            release_one(memory, reference, count - done);
        gate.notify(count);
    }

    /// What a dead process had is given back.
    void bury(Block& reference) {
        {
            GuardedChange change(guard);
            const std::uint64_t held = reference.claim.load();
            change.set(value, value.load() + held);
            change.set(claimed, claimed.load() - held);
            change.set(reference.claim, 0);
            change.commit();
        }
        gate.notify_all();
    }

    Guard guard;
    SharedWord value;
    SharedWord initial;
    SharedWord bounded;
    SharedWord claimed{0};  ///< The claims of all references.
    SharedGate gate;

  private:
    void release_one(FamilyMemory& memory, Block& reference, std::uint64_t wanted) {
        GuardedChange change(guard);
        const std::uint64_t next = value.load() + 1;
        if (bounded.load() != 0 && value.load() + wanted > initial.load())
            throw InvalidStateError(
                "muster: a BoundedSemaphore was released more often than it was acquired");
        change.set(value, next);
        // Whose permit was it? First the caller's; else, if fewer are missing than claimed, anyone's.
        Block* holder = reference.claim.load() != 0 ? &reference : nullptr;
        if (!holder && claimed.load() + next > initial.load() && claimed.load() != 0)
            for_each_block(memory, [&](Block& block) {
                if (block.block_kind() == BlockKind::reference && block.owner.load() != 0 &&
                    block.target.load() == reference.target.load() && block.claim.load() != 0)
                    holder = &block;
            });
        if (holder) {
            change.set(holder->claim, holder->claim.load() - 1);
            change.set(claimed, claimed.load() - 1);
        }
        change.commit();
    }
};

}  // namespace muster::detail
