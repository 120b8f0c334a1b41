// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

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
            // Whose permits were they? First the caller's, then those of whoever has too many.
            std::uint64_t claims = claimed.load();
            const std::uint64_t missing = initial.load() - std::min(initial.load(), next);
            claims -= give_up(change, reference, count);
            if (claims > missing)
                claims -= give_up_of_others(change, memory, reference, claims - missing);
            change.set(value, next);
            change.set(claimed, claims);
            change.commit();
        }
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
    static std::uint64_t give_up(GuardedChange& change, Block& reference, std::uint64_t most) {
        const std::uint64_t count = std::min(most, reference.claim.load());
        if (count != 0) change.set(reference.claim, reference.claim.load() - count);
        return count;
    }

    static std::uint64_t give_up_of_others(GuardedChange& change, FamilyMemory& memory,
                                           const Block& own, std::uint64_t wanted) {
        constexpr int most_others = 8;  // What is left is found at the next release.
        std::uint64_t count = 0;
        int others = 0;
        for_each_block(memory, [&](Block& block) {
            if (count == wanted || others == most_others || &block == &own ||
                block.block_kind() != BlockKind::reference || block.owner.load() == 0 ||
                block.target.load() != own.target.load() || block.claim.load() == 0)
                return;
            count += give_up(change, block, wanted - count);
            ++others;
        });
        return count;
    }
};

}  // namespace muster::detail
