// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include <muster/detail/broken_barrier.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/threading/waiters.hpp>

namespace muster::detail {

/// What is behind a `Barrier`.
///
/// A round begins with the first who comes, and ends when all have come and the action has run. Who
/// comes while that runs is early for the next round, and waits at the door.
class BarrierState {
  public:
    BarrierState(std::size_t parties, std::function<void()> action)
        : parties_{parties}, action_{std::move(action)} {}

    /// The caller's place in its round; empty when the deadline passed.
    std::optional<std::size_t> wait(const Deadline& deadline) {
        Chosen chosen;
        std::unique_lock held(mutex_);
        while (acting() && !broken_by_) {
            if (door_.wait(held, deadline) == 0) return give_up(chosen);
            held.lock();
        }
        if (broken_by_) throw_broken_barrier(*broken_by_);
        const std::size_t place = inside_.size();
        if (place + 1 == parties_) {
            if (action_) act(held, chosen);
            inside_.choose(chosen, Waiters::all, static_cast<std::uint32_t>(RoundEnd::passed));
            return place;
        }
        switch (const auto told = static_cast<RoundEnd>(inside_.wait(held, deadline))) {
            case RoundEnd::none:
                return give_up(chosen);
            case RoundEnd::passed:
                return place;
            default:
                throw_broken_barrier(told);
        }
    }

    void abort() {
        Chosen chosen;
        const std::lock_guard held(mutex_);
        break_round(chosen, RoundEnd::abort);
    }

    void reset() {
        Chosen chosen;
        const std::lock_guard held(mutex_);
        break_round(chosen, RoundEnd::reset);
    }

    [[nodiscard]] std::size_t parties() const noexcept { return parties_; }
    [[nodiscard]] std::size_t waiting() {
        const std::lock_guard held(mutex_);
        return inside_.size();
    }
    [[nodiscard]] bool broken() {
        const std::lock_guard held(mutex_);
        return broken_by_.has_value();
    }

  private:
    // These require that the mutex is held.

    /// Whether the action runs. In a copy of the process nobody runs it who began before.
    [[nodiscard]] bool acting() const { return acting_ == os::fork_generation(); }

    std::nullopt_t give_up(Chosen& chosen) {
        break_round(chosen, RoundEnd::timeout);
        return std::nullopt;
    }

    /// Only a reset leaves it whole.
    void break_round(Chosen& chosen, RoundEnd cause) {
        inside_.choose(chosen, Waiters::all, static_cast<std::uint32_t>(cause));
        door_.choose(chosen, Waiters::all);  // They look again.
        last_cause_ = cause;
        if (cause == RoundEnd::reset)
            broken_by_.reset();
        else if (!broken_by_)
            broken_by_ = cause;
        ++breaks_;
    }

    /// Calls the action, without the mutex. Throws when the round breaks.
    void act(std::unique_lock<std::mutex>& held, Chosen& chosen) {
        acting_ = os::fork_generation();
        const std::uint64_t breaks_before = breaks_;
        held.unlock();
        try {
            action_();
        } catch (...) {
            held.lock();
            end_action(chosen);
            if (breaks_ == breaks_before) break_round(chosen, RoundEnd::action);
            throw;
        }
        held.lock();
        end_action(chosen);
        if (breaks_ != breaks_before) throw_broken_barrier(last_cause_);
    }
    void end_action(Chosen& chosen) {
        acting_ = 0;
        door_.choose(chosen, Waiters::all);
    }

    const std::size_t parties_;
    const std::function<void()> action_;
    std::mutex mutex_;
    Waiters inside_;
    Waiters door_;
    std::uint64_t acting_ = 0;  // The fork_generation() of the process in which the action runs.
    std::optional<RoundEnd> broken_by_;
    RoundEnd last_cause_ = RoundEnd::reset;  // Of those that ended a round.
    std::uint64_t breaks_ = 0;
};

}  // namespace muster::detail
