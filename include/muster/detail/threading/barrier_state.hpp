// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/threading/waiters.hpp>
#include <muster/errors.hpp>

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
        while (acting() && !broken_) {
            if (door_.wait(held, deadline) == 0) return give_up(chosen);
            held.lock();
        }
        if (broken_) throw_broken();
        const std::size_t place = inside_.size();
        if (place + 1 == parties_) {
            if (action_) act(held, chosen);
            inside_.choose(chosen, Waiters::all, passes);
            return place;
        }
        switch (inside_.wait(held, deadline)) {
            case 0:
                return give_up(chosen);
            case passes:
                return place;
            default:
                throw_broken();
        }
    }

    void abort() {
        Chosen chosen;
        const std::lock_guard held(mutex_);
        break_round(chosen, true);
    }

    void reset() {
        Chosen chosen;
        const std::lock_guard held(mutex_);
        break_round(chosen, false);
    }

    [[nodiscard]] std::size_t parties() const noexcept { return parties_; }
    [[nodiscard]] std::size_t waiting() {
        const std::lock_guard held(mutex_);
        return inside_.size();
    }
    [[nodiscard]] bool broken() {
        const std::lock_guard held(mutex_);
        return broken_;
    }

  private:
    // What they are told who wait.
    static constexpr std::uint32_t passes = 1;
    static constexpr std::uint32_t breaks = 2;

    [[noreturn]] static void throw_broken() {
        throw BrokenBarrierError(
            "muster: the barrier is broken: somebody's time was up, it was aborted or reset, or "
            "its "
            "action threw; reset() makes it usable again");
    }

    // These require that the mutex is held.

    /// Whether the action runs. In a copy of the process nobody runs it who began before.
    [[nodiscard]] bool acting() const { return acting_ == os::fork_generation(); }

    std::nullopt_t give_up(Chosen& chosen) {
        break_round(chosen, true);
        return std::nullopt;
    }

    void break_round(Chosen& chosen, bool stays_broken) {
        inside_.choose(chosen, Waiters::all, breaks);
        door_.choose(chosen, Waiters::all);  // They look again.
        broken_ = stays_broken;
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
            if (breaks_ == breaks_before) break_round(chosen, true);
            throw;
        }
        held.lock();
        end_action(chosen);
        if (breaks_ != breaks_before) throw_broken();
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
    bool broken_ = false;
    std::uint64_t breaks_ = 0;
};

}  // namespace muster::detail
