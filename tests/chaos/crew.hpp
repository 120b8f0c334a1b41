// SPDX-License-Identifier: MIT
#pragma once

#include <muster/multiprocessing/process.hpp>

#include <signal.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "board.hpp"

namespace chaos {

namespace mp = muster::multiprocessing;

/// Whether an error says that the other side is gone.
inline bool is_cut(const std::system_error& error) {
    return error.code() == std::errc::connection_reset || error.code() == std::errc::broken_pipe;
}

/// Starts it. False if it was struck meanwhile, or a system call failed.
inline bool starts(const Board& board, const mp::Process& process) {
    try {
        process.start();
        return true;
    } catch (const muster::WorkerCrashed& crash) {
        if (!board.faulted() && !board.server_was_struck() && !board.was_struck(crash.pid())) throw;
        return false;
    } catch (const std::system_error& error) {
        const bool lost_its_original = is_cut(error) && board.server_was_struck();
        if (!board.faulted() && !lost_its_original) throw;
        return false;
    } catch (const muster::EntryGuardError&) {  // So ends one that gets no memory at its start.
        if (!board.faulted()) throw;
        return false;
    }
}

/// What is wrong with the end of a process that does the same for ever; empty if it was struck, or a
/// call failed, of which it says so.
inline std::string wrong_end(const Board& board, const mp::Process& process) {
    const std::optional<int> code = process.exit_code();
    if (code && *code >= 0)
        return board.faulted() && *code == EXIT_FAILURE
                   ? ""
                   : "a process ended with code " + std::to_string(*code);
    return board.was_struck(process.pid()) || (code == -SIGKILL && board.server_was_struck())
               ? ""
               : "a process died that nobody struck" +
                     (code ? ", by signal " + std::to_string(-*code) : "");
}

/// Processes that do the same for ever, and are replaced when they have been struck.
class Crew {
  public:
    using Make = std::function<mp::Process(std::size_t)>;
    using Died = std::function<void(std::size_t)>;

    /// `make` has the process number i; `died` hears of its death, before it is replaced.
    Crew(Board& board, std::size_t size, Make make, Died died)
        : board_{board}, make_{std::move(make)}, died_{std::move(died)}, members_(size) {}

    /// Replaces those that have ended. Requires: it is called often.
    void tend() {
        for (std::size_t i = 0; i < members_.size(); ++i) {
            if (!members_[i]) {
                begin(i);
            } else if (members_[i]->join_for(std::chrono::seconds(0))) {
                look_at_end(i);
                members_[i].reset();
                died_(i);
                begin(i);
            }
        }
    }

    /// For so long, with deaths.
    template <typename Between>
    void work(std::chrono::milliseconds time, Between between) {
        const auto end = std::chrono::steady_clock::now() + time;
        while (std::chrono::steady_clock::now() < end) {
            tend();
            between();
            std::this_thread::sleep_for(std::chrono::microseconds(500));
        }
    }

    /// Ends some that have not ended yet, from `first` on.
    void kill(std::size_t first, std::size_t count) {
        for (std::size_t i = first; i < first + count; ++i) {
            if (!members_[i]) continue;
            board_.note_kill(members_[i]->pid());
            members_[i]->kill();
            members_[i]->join();
            members_[i].reset();
            died_(i);
        }
    }

    /// Waits until the member has ended by itself, however often it is struck before.
    void finish(std::size_t i) {
        for (;;) {
            while (!members_[i]) begin(i);
            members_[i]->join();
            const bool good = members_[i]->exit_code() == 0;
            if (!good) look_at_end(i);
            members_[i].reset();
            if (good) return;
            died_(i);
        }
    }

  private:
    void begin(std::size_t i) {
        mp::Process process = make_(i);
        if (!starts(board_, process)) return died_(i);
        board_.add(Tally::processes);
        board_.progress.fetch_add(1);
        members_[i].emplace(std::move(process));
    }

    void look_at_end(std::size_t i) {
        const std::string wrong = wrong_end(board_, *members_[i]);
        if (!wrong.empty()) board_.violation(wrong);
    }

    Board& board_;
    Make make_;
    Died died_;
    std::vector<std::optional<mp::Process>> members_;
};

}  // namespace chaos
