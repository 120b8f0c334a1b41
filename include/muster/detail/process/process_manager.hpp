// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <muster/detail/family/sweep.hpp>
#include <muster/detail/process/checked_options.hpp>
#include <muster/detail/process/crash_report.hpp>
#include <muster/detail/process/launchers.hpp>
#include <muster/detail/process/process_core.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/process_pool_options.hpp>

namespace muster::detail {

/// The life of a process pool's workers: starts as many as are wanted, ends those that overran their
/// time, replaces those that died, until the pool is over. All in one thread, `manage`.
class ProcessManager : public ProcessCore {
  public:
    [[nodiscard]] std::size_t max_workers() const noexcept {
        return max_workers_.load(std::memory_order_relaxed);
    }

  protected:
    using Life = WorkerHandle::Life;

    explicit ProcessManager(ProcessPoolOptions& options)
        : ProcessCore(options.max_pending, std::move(options.on_error)),
          max_workers_{checked_workers(options)},
          options_{.start_method = options.start_method,
                   .start_timeout = options.start_timeout,
                   .executable = options.executable,
                   .require_single_thread = options.require_single_thread},
          launcher_{inert() ? nullptr : make_launcher(options_)},
          most_tasks_{
              options.max_tasks_per_child.value_or((std::numeric_limits<std::size_t>::max)())} {}

    ~ProcessManager() override = default;

    /// In a worker that has not reached its guard, a pool does nothing.
    static bool inert() noexcept {
        const WorkerPage* const page = own_worker_page();
        return page && page->guard_passed.load(std::memory_order_seq_cst) == 0;
    }

    void manage() noexcept {
        os::set_thread_name("muster-manager");
        os::leave_signals_to_others();
        std::optional<Receiver> awake(std::in_place, *this);
        while (start_workers()) {
            if (!oom_kills_) oom_kills_.emplace();  // While the first worker starts.
            watch_.clear();
            const std::size_t bell = watch_.add(bell_.fd());
            const std::size_t reports = watch_.add(launcher_->fd());
            for (const auto& worker : dispatcher_.workers) {
                watch_.add(worker->lifeline.get());
                watch_.add(worker->process.death_fd());
            }
            const Deadline limit = next_limit();
            awake.reset();  // Looks once more at the results.
            const bool pending = launcher_->pending();
            watch_.wait(pending ? Deadline(Clock::now()) : limit);
            awake.emplace(*this);
            if (watch_.ready(bell)) bell_.clear();

            const std::lock_guard held(receiving_);
            receive();
            end_overdue();
            const bool refused = watch_.refused() != 0;  // Then all have to be looked at.
            const bool reported = pending || refused || watch_.ready(reports);
            if (reported) launcher_->receive();
            for (std::size_t i = 0; i < dispatcher_.workers.size(); ++i) {
                WorkerHandle& worker = *dispatcher_.workers[i];
                const bool lifeline = watch_.ready(reports + 1 + 2 * i) ||
                                      (refused && os::readable(worker.lifeline.get()));
                const bool death = watch_.ready(reports + 2 + 2 * i);
                attend(worker, lifeline, death || reported);
            }
            const std::lock_guard changing(mutex_);
            std::erase_if(dispatcher_.workers,
                          [](const auto& worker) { return worker->life == Life::ended; });
        }
        launcher_.reset();
    }

    void ask_for_manager() noexcept override {
        const bool sooner = dispatcher_.limit && (!look_at_ || *dispatcher_.limit < *look_at_);
        if (sooner) look_at_ = dispatcher_.limit;
        if (sooner || dispatcher_.live() < wanted_workers()) bell_.ring();
    }

    enum class Running { fails_too, ends_with_its_worker };

    /// Fails all tasks, present and later ones. The first reason stays.
    void break_pool(MakeError error, Running running = Running::fails_too) {
        std::vector<TaskHandle> all;
        {
            const std::lock_guard held(mutex_);
            if (broken_) return;
            broken_ = std::move(error);
            all = dispatcher_.withdraw_all();
            for (const auto& worker : dispatcher_.workers) {
                if (running != Running::fails_too) break;
                const RemoteTask* const ends = worker->verdict ? nullptr : worker->running();
                worker->take_rest([&](TaskHandle handle) {
                    if (handle.task == ends)
                        handle.task->count_attempt(worker->began(), ledger().common());
                    all.push_back(std::move(handle));
                });
                worker->kill();
                if (worker->life != Life::ended) worker->life = Life::leaving;
            }
        }
        for (TaskHandle& handle : all) fail(std::move(handle), broken_());
    }

    std::atomic<std::size_t> max_workers_;
    const ProcessPoolOptions options_;    // Of starting workers, the others at their defaults.
    std::unique_ptr<Launcher> launcher_;  // Gone when the pool is over.
    std::atomic<bool> quitting_{false};

    // Under mutex_.
    std::size_t level_ = 0;  // How many workers there were at most: that many are kept.
    std::size_t crashed_ = 0;
    std::size_t respawned_ = 0;
    unsigned failures_ = 0;  // How many could not start since one could.

  private:
    static constexpr unsigned most_failures = 3;

    [[nodiscard]] std::size_t wanted_workers() const noexcept {
        if (broken_ || quitting_.load(std::memory_order_seq_cst)) return 0;
        // When none could be started the others have to do, until one of them is to be replaced.
        const std::size_t least = dispatcher_.live() == 0 ? 1 : 0;
        const std::size_t most =
            failures_ < most_failures ? max_workers() : std::max(level_, least);
        return std::clamp(dispatcher_.outstanding(), level_, most);
    }

    /// Starts what is wanted, or ends all. False when the pool is over.
    bool start_workers() {
        {
            const std::lock_guard held(mutex_);
            dispatcher_.look_at_time(Clock::now());  // Whose time has come may want a worker.
        }
        if (quitting_.load(std::memory_order_seq_cst)) {
            send_home();
            return !dispatcher_.workers.empty();
        }
        for (;;) {
            {
                const std::lock_guard held(mutex_);
                if (dispatcher_.live() >= wanted_workers()) return true;
            }
            try {
                auto worker = std::make_unique<WorkerHandle>(memory_, bell_, leader_bell_,
                                                             *launcher_, max_workers());
                worker->start_limit = deadline_after(options_.start_timeout);
                worker->most_tasks = most_tasks_;
                adopt(std::move(worker));
            } catch (const EntryGuardError&) {
                break_pool([error = std::current_exception()] { return error; });
                return true;
            } catch (const std::exception& error) {
                if (cannot_start(error.what(), false)) return true;
            }
        }
    }

    /// Counts a worker in. No lock is held while one is started, so the pool may be over by now.
    void adopt(std::unique_ptr<WorkerHandle> worker) {
        const std::lock_guard receiving(receiving_);
        const std::lock_guard held(mutex_);
        if (broken_ || quitting_.load(std::memory_order_seq_cst)) {
            worker->life = Life::leaving;
            worker->kill();
        } else {
            respawned_ += dispatcher_.live() < level_ ? 1 : 0;
        }
        dispatcher_.workers.push_back(std::move(worker));
        level_ = std::min(std::max(level_, dispatcher_.live()), max_workers());
        dispatcher_.retire_surplus(max_workers());
    }

    /// A worker could not be started, or ended while it was starting. Several in a row break the
    /// pool, unless there are others: these have to do then. True when none should be tried now.
    bool cannot_start(const std::string& why, bool ended) {
        {
            const std::lock_guard held(mutex_);
            // What hinders a start may pass, as with the end of a worker that is on its way out;
            // what ends one would happen again at once.
            const bool alone = ended ? dispatcher_.live() == 0 : dispatcher_.nobody_left();
            if (alone || ended) ++failures_;
            const bool often = failures_ >= most_failures;
            if (!alone && (often || !ended)) level_ = std::min(level_, dispatcher_.live());
            if (!alone || !often) return !alone;
        }
        break_pool([why] { return broken_because("its workers cannot start: " + why); },
                   Running::ends_with_its_worker);
        return true;
    }

    void send_home() noexcept {
        const std::lock_guard held(mutex_);
        for (const auto& worker : dispatcher_.workers) {
            if (worker->life == Life::ready) worker->quit();
            if (worker->life == Life::starting) {
                worker->life = Life::leaving;
                worker->kill();
            }
        }
    }

    /// The initializer, which comes after the guard, may take its time.
    static bool is_starting(const WorkerHandle& worker) noexcept {
        return worker.life == Life::starting && !worker.past_guard();
    }

    [[nodiscard]] Deadline next_limit() {
        const std::lock_guard held(mutex_);
        look_at_ = dispatcher_.limit;
        Deadline limit = look_at_;
        // One could not be started. What the others do may take for ever.
        if (dispatcher_.live() < wanted_workers())
            limit = earlier(limit, deadline_after(std::chrono::milliseconds(100)));
        for (const auto& worker : dispatcher_.workers) {
            if (is_starting(*worker)) limit = earlier(limit, worker->start_limit);
            limit = earlier(limit, worker->end_limit);
            // Without a descriptor that says so, a death is looked for from time to time.
            if (worker->process.death_fd() == -1 && !worker->lifeline)
                limit = earlier(limit, deadline_after(std::chrono::milliseconds(10)));
        }
        return limit;
    }

    /// Kills the workers whose task is past its time limit. Requires: `receiving_` is held.
    void end_overdue() {
        const Clock::time_point now = Clock::now();
        bool any = false;
        {
            const std::lock_guard held(mutex_);
            for (const auto& worker : dispatcher_.workers) {
                if (worker->killed || !worker->overdue(now)) continue;
                any = true;
                dispatcher_.isolate(*worker);
            }
        }
        if (!any) return;
        receive();  // What it had sent by now is not lost, and it can begin nothing else.
        std::vector<std::pair<TaskHandle, std::exception_ptr>> ended;
        {
            const std::lock_guard held(mutex_);
            for (const auto& worker : dispatcher_.workers) {
                // One that has sent a result meanwhile was handed others, and may have begun them.
                if (worker->killed || !worker->isolated) continue;
                RemoteTask* const task = worker->overdue(now);
                if (!task) continue;
                worker->verdict = timeout_of(*worker, *task);
                task->count_attempt(worker->began(), cell_);
                // The next attempt has to wait for the end of this one.
                if (task->retries == 0)
                    ended.emplace_back(worker->take(task->number), worker->verdict);
                end(*worker);
            }
            dispatch();
        }
        for (auto& [handle, error] : ended) fail(std::move(handle), error, Outcome::timed_out);
    }

    void attend(WorkerHandle& worker, bool lifeline, bool death) {
        if (lifeline) read_lifeline(worker);
        if (is_starting(worker) && expired(worker.start_limit)) {
            worker.failure = "it was not there within start_timeout";
            end_late(worker);
        }
        if (const std::lock_guard held(mutex_); expired(worker.end_limit)) worker.kill();
        if (!death && worker.lifeline) return;
        const auto status = worker.process.poll_exit(false);
        if (!status) return;
        // Its last words may have come after the look at its lifeline.
        if (os::readable(worker.lifeline.get())) read_lifeline(worker);
        bury(worker, *status);
    }

    void read_lifeline(WorkerHandle& worker) {
        const std::optional<Packet> packet = receive_from_worker(worker.lifeline.get());
        if (!packet) {
            const std::lock_guard held(mutex_);  // Who sends a stop looks at it.
            worker.lifeline = {};                // Its death follows at once, or has come.
            return;
        }
        if (worker.life != Life::starting) return;
        switch (packet->kind) {
            case Packet::Kind::ready: {
                guard_seen_ = true;
                const std::lock_guard held(mutex_);
                failures_ = 0;
                worker.life = Life::ready;
                dispatcher_.retire_surplus(max_workers());
                dispatch();
                break;
            }
            case Packet::Kind::unguarded:
                guard_missed();
                break;
            case Packet::Kind::other_build:
                break_pool([program = launcher_->program()] {
                    return std::make_exception_ptr(EntryGuardError(other_build(program)));
                });
                break;
            case Packet::Kind::initializer_failed:
                break_pool([text = packet->words()] {
                    return broken_because("its initializer threw: " + text);
                });
                break;
            case Packet::Kind::cannot_serve:
                worker.failure = packet->words();
                break;
            default:
                break;
        }
    }

    /// A worker has not reached its guard in time. If others have, the system is slow, or this one.
    void end_late(WorkerHandle& worker) {
        worker.kill();
        if (!guard_seen_) return guard_missed();
        worker.start_limit.reset();  // Its death counts as a failed start.
    }

    void guard_missed() {
        break_pool([program = launcher_->program()] {
            return std::make_exception_ptr(EntryGuardError(missing_guard(program)));
        });
    }

    /// A worker process has ended. Requires: `receiving_` is held.
    void bury(WorkerHandle& worker, const os::ExitStatus& status) {
        receive();  // What it had sent is not lost.
        sweep_dead_processes();
        if (!worker.killed && worker.failure.empty() && oom_kills_->explain(status))
            worker.failure = killed_for_memory;
        const Life life = worker.life;
        bool over = false;
        std::vector<TaskHandle> unfinished;
        {
            const std::lock_guard held(mutex_);
            over = broken_ != nullptr;
            worker.life = Life::ended;
            dispatcher_.recall_all(worker);
            worker.take_rest([&](TaskHandle handle) { unfinished.push_back(std::move(handle)); });
            dispatch();
        }
        for (TaskHandle& handle : unfinished) {
            const std::exception_ptr error =
                worker.verdict ? worker.verdict : crash_of(worker, status, *handle.task);
            if (!worker.verdict) handle.task->count_attempt(worker.began(), cell_);
            const Outcome outcome = worker.verdict ? Outcome::timed_out : Outcome::failed;
            if (retry(handle, error, outcome)) continue;
            if (const std::lock_guard held(mutex_); !worker.verdict) ++crashed_;
            fail(std::move(handle), error, outcome);
        }
        if (life != Life::starting || over) return;
        guard_seen_ = guard_seen_ || worker.past_guard();
        // Without a signal or a reason its main has ended, or another program's. (Where nobody is
        // told how children end that is the likeliest.)
        if (!status.signal && worker.failure.empty() && !guard_seen_)
            guard_missed();
        else
            (void)cannot_start("the last one " + describe_end(status) +
                                   (worker.failure.empty() ? "" : ", because " + worker.failure),
                               true);
    }

    const std::size_t most_tasks_;
    Deadline look_at_;  // When `manage` looks at time limits at the latest; under mutex_.

    // Of the thread that manages.
    os::Watch watch_;
    std::optional<os::OomKills> oom_kills_;
    // Some worker was past it. What is copied always is.
    bool guard_seen_ = options_.start_method != StartMethod::spawn;
};

}  // namespace muster::detail
