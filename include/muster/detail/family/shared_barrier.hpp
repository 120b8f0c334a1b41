// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_gate.hpp>
#include <muster/errors.hpp>

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

    explicit SharedBarrier(std::uint64_t wanted) : parties{wanted} {}

    /// Blocks until all are there, at most until the deadline. Sets `index`.
    /// Returns false when it passed, which breaks the barrier.
    template <typename Action>
    bool wait(Block& reference, const Deadline& deadline, Action action, std::uint64_t& index) {
        if (!gate.wait_until([&] { return enter(reference, index); }, deadline)) {
            abort();
            return false;
        }
        bool in_time = true;
        if (index + 1 == parties.load()) {
            try {
                action();
            } catch (...) {
                to_phase(Phase::filling, Phase::broken);
                (void)leave(reference);
                throw;
            }
            to_phase(Phase::filling, Phase::draining);
        } else {
            in_time = gate.wait_until([&] { return phase() != Phase::filling; }, deadline);
            if (!in_time && !to_phase(Phase::filling, Phase::broken)) in_time = true;
        }
        const bool passed = leave(reference);
        if (!in_time) return false;
        if (!passed) throw_broken();
        return true;
    }

    void abort() {
        {
            GuardedChange change(guard);
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
    void forget(Block& reference) {
        {
            const GuardedChange carried_out(guard);
            if (reference.claim.load() == 0) return;
        }
        bury(reference);
    }

    /// A participant died, so those who wait for it would wait for ever.
    void bury(Block& reference) {
        {
            GuardedChange change(guard);
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

    [[nodiscard]] bool broken() const noexcept {
        return phase() == Phase::broken || missing.load() != 0;
    }
    [[nodiscard]] Phase phase() const noexcept {
        return static_cast<Phase>(phase_word.load(std::memory_order_acquire));
    }

    Guard guard;
    SharedWord parties;
    SharedWord inside{0};
    SharedWord missing{0};     ///< 1: it breaks, as a participant has died or it was aborted.
    SharedWord has_action{0};  ///< Whose name follows behind this.
    SharedWord phase_word{static_cast<std::uint64_t>(Phase::filling)};
    SharedGate gate;

  private:
    [[noreturn]] static void throw_broken() {
        throw BrokenBarrierError(
            "muster: the barrier is broken: it was aborted or reset, or one who belonged to it "
            "took "
            "too long or died; reset() makes it as new");
    }

    bool enter(Block& reference, std::uint64_t& index) {
        GuardedChange change(guard);
        if (broken()) throw_broken();
        index = inside.load();
        if (phase() != Phase::filling || index == parties.load()) return false;
        change.set(inside, index + 1);
        change.set(reference.claim, reference.claim.load() + 1);
        change.commit();
        return true;
    }

    /// True if the barrier was passed.
    bool leave(Block& reference) {
        bool passed = false;
        {
            GuardedChange change(guard);
            passed = phase() == Phase::draining;
            change.set(reference.claim, reference.claim.load() - 1);
            set_inside(change, inside.load() - 1);
            change.commit();
        }
        gate.notify_all();  // Others may wait outside.
        return passed;
    }

    /// False if it is not in the phase `from`.
    bool to_phase(Phase from, Phase to) {
        {
            GuardedChange change(guard);
            if (phase() != from) return false;
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
