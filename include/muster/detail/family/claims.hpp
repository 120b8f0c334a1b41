// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include <muster/detail/family/arena.hpp>

namespace muster::detail {

/// How much of an object each process has: what one claims is a word of its reference.
///
/// What one process has may be given back by another one, or stay taken when its process has let go
/// of the object. So all claims together are never more than what is taken at that moment.
/// All functions: under the guard of the object.
class Claims {
  public:
    /// One more is the reference's, unless that exceeds what is `taken` by now: then it is nobody's.
    void add(GuardedChange& change, Block& reference, std::uint64_t taken) {
        if (total_.load() >= taken) return;
        change.set(total_, total_.load() + 1);
        change.set(reference.claim, reference.claim.load() + 1);
    }

    /// So many were given back: whose were they? First the caller's, then those of whoever has more
    /// than is `taken` still.
    void give_back(GuardedChange& change, FamilyMemory& memory, Block& reference,
                   std::uint64_t count, std::uint64_t taken) {
        std::uint64_t left = total_.load();
        left -= give_up(change, reference, count);
        if (left > taken) left -= give_up_of_others(change, memory, reference, left - taken);
        change.set(total_, left);
    }

    /// The reference claims nothing more. How much it did.
    std::uint64_t forget(GuardedChange& change, Block& reference) {
        const std::uint64_t count = give_up(change, reference, reference.claim.load());
        change.set(total_, total_.load() - count);
        return count;
    }

  private:
    static std::uint64_t give_up(GuardedChange& change, Block& reference, std::uint64_t most) {
        const std::uint64_t count = std::min(most, reference.claim.load());
        if (count != 0) change.set(reference.claim, reference.claim.load() - count);
        return count;
    }

    static std::uint64_t give_up_of_others(GuardedChange& change, FamilyMemory& memory,
                                           const Block& own, std::uint64_t wanted) {
        constexpr int most_others = 8;  // What is left is found when the next is given back.
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

    SharedWord total_{0};
};

}  // namespace muster::detail
