// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <muster/detail/broken_barrier.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_gate.hpp>
#include <muster/detail/os.hpp>

namespace muster::detail {

/// A barrier in the family's memory.
///
/// | phase     | who comes          | who is inside         | becomes                              |
/// |-----------|--------------------|-----------------------|--------------------------------------|
/// | filling   | waits inside       | waits                 | draining with the last one, broken   |
/// | draining  | waits outside      | leaves, has passed    | filling, when all have left          |
/// | resetting | waits outside      | leaves with the error | filling, when all have left          |
/// | broken    | gets the error     | leaves with the error | filling or resetting, by `reset`     |
///
/// How many threads of a process are inside is the claim of its reference.
struct SharedBarrier {
    static constexpr BlockKind kind = BlockKind::barrier;
    enum class Phase : std::uint64_t { filling, draining, resetting, broken };
    using Cause = RoundEnd;

    explicit SharedBarrier(std::uint64_t wanted) : parties{wanted} {}

    /// Blocks until all are there, at most until the deadline. Sets `index`.
    /// Returns false when it passed, which breaks the barrier.
    template <typename Action>
    bool wait(Block& reference, const Deadline& deadline, Action action, std::uint64_t& index) {
        if (!gate.wait_until([&] { return enter(reference, index); }, deadline)) {
            abort(Cause::timeout);
            return false;
        }
        bool in_time = true;
        if (index + 1 == parties.load()) {
            try {
                action();
            } catch (...) {
                to_phase(Phase::filling, Phase::broken, Cause::action);
                (void)leave(reference);
                throw;
            }
            to_phase(Phase::filling, Phase::draining);
        } else {
            in_time = gate.wait_until([&] { return phase() != Phase::filling; }, deadline);
            if (!in_time && !to_phase(Phase::filling, Phase::broken, Cause::timeout))
                in_time = true;
        }
        const std::uint64_t broken_by = leave(reference);
        if (!in_time) return false;
        if (broken_by != 0) throw_broken(broken_by);
        return true;
    }

    void abort(Cause cause = Cause::abort) {
        {
            GuardedChange change(guard);
            note(change, cause);
            // Those who are draining have passed: it is broken for the next ones.
            if (phase() == Phase::draining)
                change.set(missing, 1);
            else
                set_phase(change, Phase::broken);
            change.commit();
        }
        gate.notify_all();
    }

    void reset() {
        {
            GuardedChange change(guard);
            // Who is inside since it broke, or was reset, is told of that.
            if (phase() == Phase::filling) note(change, Cause::reset);
            change.set(missing, 0);
            // Those who are draining have passed: it is as new when they have left.
            if (phase() != Phase::draining)
                set_phase(change, inside.load() == 0 ? Phase::filling : Phase::resetting);
            change.commit();
        }
        gate.notify_all();
    }

    /// A process lets go of the barrier, and takes no part any more. Threads that it leaves inside
    /// have died.
    void forget(FamilyMemory& memory, Block& reference) {
        {
            const GuardedChange carried_out(guard);
            if (reference.claim.load() == 0) return;
        }
        bury(memory, reference);
    }

    /// A participant died, so those who wait for it would wait for ever.
    void bury(FamilyMemory& memory, Block& reference) {
        const std::uint64_t number = memory.header().processes[reference.owner.load()].load();
        {
            GuardedChange change(guard);
            note(change, Cause::death, static_cast<std::uint64_t>(os::id_in(number)));
            const std::uint64_t dead = reference.claim.load();
            // Those who are leaving have passed, or not. It is the next ones who would wait.
            if (phase() == Phase::filling) set_phase(change, Phase::broken);
            change.set(missing, 1);
            change.set(reference.claim, 0);
            set_inside(change, inside.load() - dead);
            change.commit();
        }
        gate.notify_all();
    }

    /// Makes a block of the caller's its action. Requires: nobody else knows the barrier.
    void keep_action(FamilyMemory& memory, Block& encoded) {
        GuardedChange change(memory.header().guard);
        change.set(action_block, memory.offset_of(encoded));
        change.set(encoded.owner, Block::shared);
        change.commit();
    }
    /// Takes that, which is the caller's then; null if there is none. Requires: nobody else uses the
    /// barrier.
    Block* take_action(FamilyMemory& memory) {
        const ArenaOffset place = action_block.load();
        if (place == 0) return nullptr;
        Block& encoded = memory.block(place);
        const std::uint64_t own = memory.slot();
        GuardedChange change(memory.header().guard);
        change.set(action_block, 0);
        change.set(encoded.owner, own);
        change.commit();
        return &encoded;
    }

    [[nodiscard]] bool broken() const noexcept {
        return phase() == Phase::broken || missing.load() != 0;
    }
    [[nodiscard]] Phase phase() const noexcept {
        return static_cast<Phase>(phase_word.load(std::memory_order_acquire));
    }

    Guard guard;
    SharedWord parties;
    SharedWord inside{0};
    SharedWord missing{0};       ///< 1: it breaks, as a participant has died or it was aborted.
    SharedWord action_block{0};  ///< What the last one calls, encoded; 0: nothing.
    SharedWord cause_word{0};    ///< Why it broke last, and with `death` the id of who died.
    SharedWord phase_word{static_cast<std::uint64_t>(Phase::filling)};
    SharedGate gate;

  private:
    static constexpr unsigned cause_bits = 8;

    /// Notes why it breaks, unless it is broken already.
    void note(GuardedChange& change, Cause cause, std::uint64_t dead = 0) noexcept {
        if (!broken())
            change.set(cause_word, static_cast<std::uint64_t>(cause) | dead << cause_bits);
    }

    [[noreturn]] static void throw_broken(std::uint64_t cause) {
        throw_broken_barrier(static_cast<Cause>(cause & ((1U << cause_bits) - 1)),
                             cause >> cause_bits);
    }

    bool enter(Block& reference, std::uint64_t& index) {
        GuardedChange change(guard);
        if (broken()) throw_broken(cause_word.load());
        index = inside.load();
        if (phase() != Phase::filling || index == parties.load()) return false;
        change.set(inside, index + 1);
        change.set(reference.claim, reference.claim.load() + 1);
        change.commit();
        return true;
    }

    /// 0 if the barrier was passed, else why not.
    std::uint64_t leave(Block& reference) {
        std::uint64_t broken_by = 0;
        {
            GuardedChange change(guard);
            if (phase() != Phase::draining) broken_by = cause_word.load();
            change.set(reference.claim, reference.claim.load() - 1);
            set_inside(change, inside.load() - 1);
            change.commit();
        }
        gate.notify_all();  // Others may wait outside.
        return broken_by;
    }

    /// False if it is not in the phase `from`.
    bool to_phase(Phase from, Phase to, Cause cause = Cause::none) {
        {
            GuardedChange change(guard);
            if (phase() != from) return false;
            if (cause != Cause::none) note(change, cause);
            set_phase(change, to);
            change.commit();
        }
        gate.notify_all();
        return true;
    }

    void set_phase(GuardedChange& change, Phase to) noexcept {
        change.set(phase_word, static_cast<std::uint64_t>(to));
    }
    void set_inside(GuardedChange& change, std::uint64_t left) noexcept {
        change.set(inside, left);
        if (left == 0 && (phase() == Phase::draining || phase() == Phase::resetting))
            set_phase(change, missing.load() == 0 ? Phase::filling : Phase::broken);
    }
};

}  // namespace muster::detail
