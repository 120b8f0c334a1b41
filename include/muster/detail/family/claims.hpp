// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include <muster/detail/family/arena.hpp>

namespace muster::detail {

/// How much of an object each process has: what one claims is a word of its reference.
///
/// What one process has may be given back by another one, or stay taken when its process has let go
/// of the object. So all claims together are never more than what is taken at that moment; but for
/// the time until what a dead process was about to give up for others is given up by the next one.
/// All functions: under the guard of the object.
class Claims {
  public:
    /// One more is the reference's, unless that exceeds what is `taken` by now: then it is nobody's.
    void add(GuardedChange& change, Block& reference, std::uint64_t taken) {
        if (total_.load() >= taken) return;
        change.set(total_, total_.load() + 1);
        change.set(reference.claim, reference.claim.load() + 1);
        latest_.store(distance_to(reference), std::memory_order_relaxed);
    }

    /// Commits the change by which so many are given back. Whose were they? First the caller's, then
    /// those of others until no more than is `taken` is claimed: each in a change of its own, so that
    /// the claims of any number of processes need no more room than those of one.
    void give_back(GuardedChange& change, FamilyMemory& memory, Block& reference,
                   std::uint64_t count, std::uint64_t taken) {
        give_up(change, reference, count);
        change.commit();
        const auto take_from = [&](Block& block) {
            if (total_.load() <= taken || !claims_of(block, reference.target.load())) return;
            {
                // Who has let go of the object may be about to drop the reference, which becomes
                // something else then: not under this guard. One that still has a claim stays, for
                // its process gives that up first, under this guard.
                const GuardedChange held(memory.header().guard);
                if (!claims_of(block, reference.target.load())) return;
            }
            give_up(change, block, total_.load() - taken);
            change.commit();
            latest_.store(distance_to(block), std::memory_order_relaxed);
        };
        if (total_.load() > taken) take_from(latest());
        if (total_.load() > taken) for_each_block(memory, take_from);
    }

    /// The reference claims nothing more. How much it did.
    std::uint64_t forget(GuardedChange& change, Block& reference) {
        const std::uint64_t count = reference.claim.load();
        change.set(reference.claim, 0);
        change.set(total_, total_.load() - count);
        return count;
    }

  private:
    static bool claims_of(const Block& block, ArenaOffset object) noexcept {
        return block.block_kind() == BlockKind::reference && block.owner.load() != 0 &&
               block.target.load() == object && block.claim.load() != 0;
    }

    void give_up(GuardedChange& change, Block& reference, std::uint64_t most) {
        const std::uint64_t count = std::min(most, reference.claim.load());
        if (count == 0) return;
        change.set(reference.claim, reference.claim.load() - count);
        change.set(total_, total_.load() - count);
    }

    // Where a block is, there always is one: so the place of one can be remembered. `add` notes one
    // before the first claim counts.
    [[nodiscard]] std::uint64_t distance_to(const Block& block) const noexcept {
        return reinterpret_cast<std::uintptr_t>(&block) - reinterpret_cast<std::uintptr_t>(this);
    }
    [[nodiscard]] Block& latest() const noexcept {
        return *reinterpret_cast<Block*>(reinterpret_cast<std::uintptr_t>(this) + latest_.load());
    }

    SharedWord total_{0};
    /// How far from here the reference is that claimed last, or gave up for others last: where some
    /// processes take and others give back, it saves looking at all blocks. Only a hint, of no change.
    SharedWord latest_{0};
};

}  // namespace muster::detail
