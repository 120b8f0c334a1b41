// SPDX-License-Identifier: MIT
#pragma once

#include <muster/muster.hpp>

#include <signal.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>

#include "board.hpp"
#include "random.hpp"
#include "tasks.hpp"
#include "weather.hpp"

namespace chaos {

/// How a task has ended, as the pool counts it.
enum class Ended { not_yet, completed, failed, cancelled, timed_out };

/// A task that was submitted, and what its future may say.
class PoolTask {
  public:
    PoolTask(std::uint64_t id, Random& random) : id_{id} {
        // Most return; the others come with equal chances.
        fate_ = random.once_in(4) ? static_cast<Fate>(random.below(fate_count)) : Fate::returns;
        amount_ = fate_ == Fate::crashes ? random.below(4) : random.below(20'000);
        if (random.once_in(8)) load_ = random.below(random.once_in(10) ? 1'500'000 : 5'000);
        options_.priority = static_cast<int>(random.below(3));
        if (fate_ == Fate::overruns)
            options_.timeout = std::chrono::milliseconds(random.between(1, 20));
        else if (random.once_in(10))
            options_.timeout = std::chrono::hours(1);
        if (random.once_in(6)) options_.retries = random.between(1, 3);
        if (random.once_in(2))
            options_.retry_delay = std::chrono::microseconds(random.below(5'000));
    }

    [[nodiscard]] std::uint64_t id() const { return id_; }
    [[nodiscard]] const muster::Future<Answer>& future() const { return future_; }

    [[nodiscard]] bool fails_at_submit() const { return fate_ == Fate::argument_encoder_throws; }

    void submit_to(muster::ProcessPoolExecutor& pool) {
        Job job{.id = id_, .fate = fate_, .amount = amount_, .passenger = {id_, fate_}};
        job.load.resize(load_);
        for (std::size_t i = 0; i < load_; ++i) job.load[i] = load_of(id_, i);
        future_ = pool.submit(options_, run, std::move(job));
    }

    /// Asks for its end, in one of the ways there are.
    void disturb(Random& random) {
        switch (random.below(3)) {
            case 0:
                cancelled_ = future_.cancel() || cancelled_;
                break;
            case 1:
                killed_ = future_.kill() || killed_;
                break;
            default:
                (void)future_.request_stop();
                break;
        }
    }

    /// Waits for its end, and tells the board what is wrong with it.
    void judge(Board& board, const Weather& weather) {
        std::string error = outcome(board, weather);
        if ((cancelled_ || killed_) && ended_ != Ended::cancelled)
            error += " not cancelled, though cancel() or kill() said so";
        if (!error.empty()) wrong(board, error);
        board.progress.fetch_add(1);
    }

    [[nodiscard]] Ended ended() const { return ended_; }
    [[nodiscard]] bool found_broken() const { return found_broken_; }
    /// The worker that has died in it, if its end was that.
    [[nodiscard]] std::optional<int> crashed() const { return crashed_; }

    /// When the pool is no more.
    void judge_runs(Board& board) const {
        const unsigned runs = board.runs[id_].load();
        if (runs > options_.retries + 1) wrong(board, "it ran too often");
        if (cancelled_ && !killed_ && options_.retries == 0 && runs != 0)
            wrong(board, "it ran, and cancel() said that it never will");
        if (ended_ == Ended::completed && runs == 0) wrong(board, "it has a value, and never ran");
        if (!future_.valid() && runs != 0) wrong(board, "it ran, and was refused");
    }

  private:
    /// Less fits into a worker's memory, however little there is.
    static constexpr std::size_t least_large_load = 100'000;
    static constexpr auto fate_count = static_cast<std::uint32_t>(Fate::count);

    void wrong(Board& board, const std::string& what) const {
        board.violation("task " + std::to_string(id_) + " (fate " +
                        std::to_string(static_cast<int>(fate_)) + ", retries " +
                        std::to_string(options_.retries) + ", load " + std::to_string(load_) +
                        ", begun " + std::to_string(board.runs[id_].load()) + "): " + what);
    }

    /// Empty if it is as it should be.
    std::string outcome(Board& board, const Weather& weather) {
        ended_ = Ended::failed;
        try {
            const Answer& answer = future_.result();
            board.add(Tally::values);
            ended_ = Ended::completed;
            return is_right(answer) ? "" : "a wrong value";
        } catch (const muster::CancelledError&) {
            board.add(Tally::cancelled);
            ended_ = Ended::cancelled;
            return cancelled_ || killed_ || weather.cancelling_end ? "" : "cancelled by nobody";
        } catch (const muster::TaskTimeout&) {
            board.add(Tally::timeouts);
            ended_ = Ended::timed_out;
            return fate_ == Fate::overruns ? "" : "no time limit has passed";
        } catch (const muster::WorkerCrashed& crash) {
            board.add(Tally::crashes);
            crashed_ = crash.pid();
            return explains(board, weather, crash) ? "" : std::string("crashed: ") + crash.what();
        } catch (const muster::EntryGuardError& error) {
            board.add(Tally::broken);
            found_broken_ = true;
            // A worker that gets no memory when it starts ends like one that has no guard.
            return board.faulted() ? "" : error.what();
        } catch (const muster::BrokenProcessPool& error) {
            board.add(Tally::broken);
            found_broken_ = true;
            return may_be_broken(board, weather) ? "" : std::string("broken: ") + error.what();
        } catch (const std::out_of_range& error) {
            board.add(Tally::exceptions);
            return fate_ == Fate::throws && error.what() == std::to_string(id_)
                       ? ""
                       : "not its exception";
        } catch (const std::domain_error& error) {
            board.add(Tally::exceptions);
            const bool codec =  // What fails at submit has no future.
                fate_ > Fate::argument_encoder_throws && fate_ <= Fate::result_decoder_throws;
            return codec && error.what() == std::to_string(id_) ? "" : "not its codec's exception";
        } catch (const std::exception& error) {
            board.add(Tally::exceptions);
            if (typeid(error) == typeid(std::bad_alloc)) board.add(Tally::starved);
            const bool no_memory = typeid(error) == typeid(std::bad_alloc) && lacks_memory(weather);
            return no_memory || (board.faulted() && is_the_systems(error))
                       ? ""
                       : std::string("exception: ") + error.what();
        }
    }

    [[nodiscard]] bool lacks_memory(const Weather& weather) const {
        return fate_ == Fate::fills_memory || (weather.room != 0 && load_ >= least_large_load);
    }

    [[nodiscard]] bool is_right(const Answer& answer) const {
        const bool can_return = fate_ <= Fate::stops_when_asked;
        if (!can_return || answer.value != value_of(id_) || answer.load.size() != load_)
            return false;
        for (std::size_t i = 0; i < load_; ++i)
            if (answer.load[i] != static_cast<std::uint8_t>(~load_of(id_, i))) return false;
        return answer.passenger.id == id_;
    }

    [[nodiscard]] bool explains(const Board& board, const Weather& weather,
                                const muster::WorkerCrashed& crash) const {
        if (board.was_struck(crash.pid())) return true;
        const auto code = crash.exit_code();
        if (code == -SIGKILL && (weather.forced_end || board.server_was_struck())) return true;
        if (code == -SIGTERM && weather.forced_end) return true;
        return (fate_ == Fate::crashes && code == code_of_crash(amount_)) ||
               (fate_ == Fate::destructor_throws && code == -SIGABRT);
    }

    std::uint64_t id_;
    Fate fate_ = Fate::returns;
    std::uint32_t amount_ = 0;
    std::size_t load_ = 0;
    muster::TaskOptions options_;
    muster::Future<Answer> future_;
    std::optional<int> crashed_;
    bool cancelled_ = false;
    bool killed_ = false;  // Then it may have run, and cancel() says that it will not again.
    Ended ended_ = Ended::not_yet;
    bool found_broken_ = false;  // The pool.
};

}  // namespace chaos
