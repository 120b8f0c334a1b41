// SPDX-License-Identifier: MIT
#include "faulty_calls.hpp"

#include "pool_round.hpp"

#include <muster/muster.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "memory.hpp"
#include "pool_task.hpp"

namespace chaos {

namespace {

enum class End { destructor, shutdown, cancelling, killing, terminating, count };

void initialize(std::uint32_t sleep_us, std::uint32_t fails_once_in, std::uint64_t seed,
                std::uint32_t room) {
    std::this_thread::sleep_for(std::chrono::microseconds(sleep_us));
    Random random(seed + static_cast<std::uint64_t>(::getpid()));
    if (fails_once_in != 0 && random.once_in(fails_once_in))
        throw std::runtime_error("an initializer that fails");
    (void)Board::own();  // While there is memory.
    if (room != 0) (void)leave_room(std::size_t{room} << 10);
}

/// What a thread does that submits tasks and disturbs them.
class Submitter {
  public:
    Submitter(Board& board, Random random) : board_{board}, random_{random} {}

    /// `end_may_come`: meanwhile another thread may shut the pool down.
    void submit(muster::ProcessPoolExecutor& pool, std::uint32_t count, bool disturbs,
                bool end_may_come) {
        for (std::uint32_t i = 0; i < count; ++i) {
            const std::uint64_t id = board_.next_task.fetch_add(1);
            if (id >= Board::most_tasks) return;
            PoolTask& task = tasks_.emplace_back(id, random_);
            if (!accepted(pool, task, end_may_come)) continue;
            if (random_.once_in(4)) call_back(task);
            if (disturbs && random_.once_in(5)) pick().disturb(random_);
            if (disturbs && random_.once_in(100)) resize(pool);
            if (random_.once_in(50))
                std::this_thread::sleep_for(std::chrono::microseconds(random_.below(3'000)));
            board_.progress.fetch_add(1);
        }
    }

    /// Those not judged yet. `crashed` gets the workers that died in a task, which are others each
    /// time.
    void judge(const Weather& weather, std::set<int>& crashed) {
        for (PoolTask& task : tasks_) {
            if (!task.future().valid() || task.ended() != Ended::not_yet) continue;
            task.judge(board_, weather);
            if (task.crashed() && !crashed.insert(*task.crashed()).second)
                board_.violation("a worker's death has cost two tasks");
        }
    }
    /// When the pool is no more.
    void judge_runs() {
        for (const PoolTask& task : tasks_) task.judge_runs(board_);
        if (called_back_ != wanted_callbacks_)
            board_.violation(std::to_string(wanted_callbacks_) + " callbacks were added, and " +
                             std::to_string(called_back_) + " called");
        board_.add(Tally::callbacks, called_back_);
    }
    [[nodiscard]] std::uint64_t thrown_callbacks() const { return thrown_.load(); }
    [[nodiscard]] std::size_t accepted() const { return accepted_; }
    [[nodiscard]] std::size_t found_broken() const {
        return static_cast<std::size_t>(
            std::count_if(tasks_.begin(), tasks_.end(),
                          [](const PoolTask& task) { return task.found_broken(); }));
    }
    [[nodiscard]] std::size_t count(Ended how) const {
        return static_cast<std::size_t>(
            std::count_if(tasks_.begin(), tasks_.end(),
                          [how](const PoolTask& task) { return task.ended() == how; }));
    }

  private:
    bool accepted(muster::ProcessPoolExecutor& pool, PoolTask& task, bool end_may_come) {
        std::string wrong;
        try {
            task.submit_to(pool);
            board_.add(Tally::tasks);
            ++accepted_;
            if (task.fails_at_submit()) board_.violation("submit took what cannot be encoded");
            return true;
        } catch (const muster::ShutdownError& error) {
            if (!end_may_come) wrong = error.what();
        } catch (const std::domain_error& error) {
            if (!task.fails_at_submit()) wrong = error.what();
        } catch (const std::exception& error) {  // That it is broken only futures tell.
            if (!board_.faulted() || !is_the_systems(error)) wrong = error.what();
        }
        if (!wrong.empty()) board_.violation("submit threw for no reason: " + wrong);
        board_.add(Tally::refused);
        return false;
    }

    void call_back(PoolTask& task) {
        const bool throws = random_.once_in(3);
        ++wanted_callbacks_;
        task.future().add_done_callback([this, throws](const muster::Future<Answer>& future) {
            called_back_.fetch_add(1);
            if (!future.done()) board_.violation("a callback before the end of its task");
            if (!throws) return;
            thrown_.fetch_add(1);
            throw std::runtime_error("a callback that throws");
        });
    }

    PoolTask& pick() {
        PoolTask& task = tasks_[random_.below(static_cast<std::uint32_t>(tasks_.size()))];
        return task.future().valid() ? task : tasks_.back();
    }

    void resize(muster::ProcessPoolExecutor& pool) { pool.resize(random_.between(1, 4)); }

    Board& board_;
    Random random_;
    std::deque<PoolTask> tasks_;
    std::size_t accepted_ = 0;
    std::uint64_t wanted_callbacks_ = 0;
    std::atomic<std::uint64_t> called_back_{0};
    std::atomic<std::uint64_t> thrown_{0};
};

void set_weather(Board& board, Random& random, const Weather& weather, muster::StartMethod method) {
    board.has_servers.store(method == muster::StartMethod::spawn ? 0 : 1);
    board.servers_die.store(weather.servers_die ? 1 : 0);
    board.blow_every_us.store(weather.blows ? random.between(2'000, 40'000) : 0);
    board.fault_every_us.store(weather.faults ? random.between(500, 20'000) : 0);
}

void end(muster::ProcessPoolExecutor& pool, End how) {
    switch (how) {
        case End::shutdown:
            pool.shutdown();
            break;
        case End::cancelling:
            pool.shutdown({.cancel_futures = true});
            break;
        case End::killing:
            pool.kill_workers();
            break;
        case End::terminating:
            pool.terminate_workers();
            break;
        default:
            break;
    }
}

using Submitters = std::array<Submitter, 2>;

/// When it is idle: each task has ended once, as its future says.
void check_stats(Board& board, const muster::ProcessPoolExecutor& pool,
                 const Submitters& submitters) {
    const auto stats = pool.stats();
    const std::array counts{stats.pending,   stats.running,   stats.completed, stats.failed,
                            stats.cancelled, stats.timed_out, std::size_t{0}};
    std::array<std::size_t, counts.size()> expected{};
    for (const Submitter& submitter : submitters) {
        expected[2] += submitter.count(Ended::completed);
        expected[3] += submitter.count(Ended::failed);
        expected[4] += submitter.count(Ended::cancelled);
        expected[5] += submitter.count(Ended::timed_out);
        expected[6] += submitter.accepted();
    }
    for (std::size_t i = 2; i < 6; ++i) expected[6] -= expected[i];
    if (counts == expected) return;
    constexpr std::array names{"pending",   "running",   "completed", "failed",
                               "cancelled", "timed out", "no end"};
    std::string all = "idle, and stats() and the futures do not agree:";
    for (std::size_t i = 0; i < counts.size(); ++i)
        all += ' ' + std::to_string(counts[i]) + '/' + std::to_string(expected[i]) + ' ' + names[i];
    board.violation(all);
}

/// The pool's life but for its begin and its end.
struct Play {
    Weather weather;
    End end;
    bool abrupt;  ///< The end comes while a thread still submits.
    bool disturbs;
    std::uint32_t count;  ///< Of tasks that a thread submits.
};
void play(Board& board, muster::ProcessPoolExecutor& pool, Submitters& submitters,
          const Play& how) {
    {
        std::jthread other(
            [&] { submitters[1].submit(pool, how.count, how.disturbs, how.abrupt); });
        submitters[0].submit(pool, how.abrupt ? how.count / 4 : how.count, how.disturbs, false);
        if (how.abrupt) end(pool, how.end);
    }
    if (!how.abrupt) end(pool, how.end);
    std::set<int> crashed;
    for (Submitter& submitter : submitters) submitter.judge(how.weather, crashed);
    if (how.end == End::destructor) {
        // In calm weather a pool goes on, but for a broken one, which never does.
        board.calm();
        const std::size_t before = submitters[0].found_broken();
        const bool broken = before + submitters[1].found_broken() != 0;
        const std::size_t accepted = submitters[0].accepted();
        submitters[0].submit(pool, 5, false, false);
        submitters[0].judge(how.weather, crashed);
        if (broken && submitters[0].found_broken() - before != submitters[0].accepted() - accepted)
            board.violation("a broken pool has taken tasks");
    }
    pool.wait_idle();
    check_stats(board, pool, submitters);
}

}  // namespace

void pool_round(Board& board, Random random, muster::StartMethod method) {
    Weather weather;
    weather.blows = random.below(3) != 0;
    weather.servers_die = weather.blows && random.once_in(4);
    weather.faults = random.once_in(3);
    weather.initializer_fails = random.once_in(12);
    if (random.once_in(5)) weather.room = random.between(512, 8'192);
    const auto how = random.once_in(2)
                         ? static_cast<End>(random.below(static_cast<std::uint32_t>(End::count)))
                         : End::destructor;
    weather.forced_end = how == End::killing || how == End::terminating;
    weather.cancelling_end = how == End::cancelling;

    std::atomic<std::uint64_t> errors{0};
    muster::ProcessPoolOptions options;
    options.max_workers = random.between(1, 4);
    options.start_method = method;
    options.start_timeout = std::chrono::minutes(5);
    if (random.once_in(4)) options.max_tasks_per_child = random.between(1, 20);
    if (random.once_in(3)) options.max_pending = random.between(1, 50);
    if (weather.initializer_fails || weather.room != 0 || random.once_in(4))
        options.initializer = {initialize, random.below(5'000), weather.initializer_fails ? 3U : 0U,
                               random.next(), weather.room};
    options.on_error = [&errors](const std::exception_ptr&) { errors.fetch_add(1); };

    Submitters submitters{Submitter{board, random.split()}, Submitter{board, random.split()}};
    const std::uint32_t count = random.between(5, random.once_in(3) ? 400 : 60);
    const bool disturbs = random.once_in(2);
    const bool abrupt = how != End::destructor && random.once_in(2);
    set_weather(board, random, weather, method);
    std::optional<muster::ProcessPoolExecutor> pool;
    try {
        pool.emplace(options);
        board.add(Tally::pools);
    } catch (const std::exception& error) {
        if (!board.faulted() || !is_the_systems(error))
            board.violation(std::string("no pool: ") + error.what());
    }
    if (pool) play(board, *pool, submitters, {weather, how, abrupt, disturbs, count});
    pool.reset();
    board.calm();
    for (Submitter& submitter : submitters) submitter.judge_runs();
    const std::uint64_t thrown =
        submitters[0].thrown_callbacks() + submitters[1].thrown_callbacks();
    if (errors != thrown)
        board.violation(std::to_string(thrown) + " callbacks threw, and on_error was called " +
                        std::to_string(errors.load()) + " times");
}

}  // namespace chaos
