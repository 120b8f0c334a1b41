// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "board.hpp"
#include "descendants.hpp"
#include "random.hpp"

namespace chaos {

/// Kills and stops what the subject has started, and has system calls fail, as often as the board
/// says: all from outside.
class Striker {
  public:
    Striker(Board& board, ::pid_t subject, Random random)
        : board_{board}, subject_{subject}, random_{random} {}

    /// Does what is due now.
    void act() {
        end_stops(Clock::now());
        strike_and_fail(Clock::now());
        board_.stops_under_way.store(stops_.size());
        board_.turns.fetch_add(1);
    }

  private:
    using Clock = std::chrono::steady_clock;
    struct Stop {
        Victim victim;
        int signal = 0;
        Clock::time_point end;
    };

    void strike_and_fail(Clock::time_point now) {
        const std::uint32_t blow_every = board_.blow_every_us.load();
        if (blow_every != 0 && now >= next_blow_) {
            next_blow_ = now + std::chrono::microseconds(random_.below(2 * blow_every));
            strike(now);
        }
        const std::uint32_t fault_every = board_.fault_every_us.load();
        if (fault_every != 0 && now >= next_fault_) {
            next_fault_ = now + std::chrono::microseconds(random_.below(2 * fault_every));
            const std::uint32_t fault = random_.below(static_cast<std::uint32_t>(Fault::count));
            const auto calls = static_cast<std::int32_t>(random_.between(1, 20));
            board_.countdown[fault].store(calls);
            // What is calm by now clears those set before, not this one.
            if (board_.fault_every_us.load() == 0) board_.countdown[fault].store(0);
        }
    }

    void strike(Clock::time_point now) {
        const std::vector<Descendant> all = descendants_of(subject_);
        if (all.empty()) return;
        const Descendant& chosen = all[random_.below(static_cast<std::uint32_t>(all.size()))];
        // One that has no copies yet cannot be told from a worker: it may be hit as well.
        const bool server = board_.has_servers.load() != 0 &&
                            (chosen.has_children || parent_of(chosen.pid) == subject_);
        if (server && (board_.servers_die.load() == 0 || !random_.once_in(4))) return;

        const auto blow =
            static_cast<Blow>(random_.below(static_cast<std::uint32_t>(Blow::server)));
        const bool kills = blow != Blow::stall;
        if (kills) board_.note_kill(chosen.pid);
        Victim victim(chosen.pid, subject_);
        if (!victim) return;
        const Blow counted = server && kills ? Blow::server : blow;
        board_.blows[static_cast<std::size_t>(counted)].fetch_add(1);  // Before its effects.
        const auto later = now + std::chrono::microseconds(random_.below(20'000));
        switch (blow) {
            case Blow::kill:
                victim.send(SIGKILL);
                break;
            case Blow::segv:
                victim.send(SIGSEGV);
                break;
            case Blow::stop_and_kill:
                victim.send(SIGSTOP);
                stops_.push_back({std::move(victim), SIGKILL, later});
                break;
            default:
                victim.send(SIGSTOP);
                stops_.push_back({std::move(victim), SIGCONT, later});
                break;
        }
    }

    void end_stops(Clock::time_point now) {
        std::erase_if(stops_, [&](const Stop& stop) {
            if (now < stop.end) return false;
            stop.victim.send(stop.signal);
            return true;
        });
    }

    Board& board_;
    const ::pid_t subject_;
    Random random_;
    std::vector<Stop> stops_;
    Clock::time_point next_blow_{};
    Clock::time_point next_fault_{};
};

}  // namespace chaos
