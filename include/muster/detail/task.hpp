// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <muster/detail/attempts.hpp>
#include <muster/detail/gate_continuation.hpp>
#include <muster/detail/runnable.hpp>
#include <muster/detail/running_here.hpp>
#include <muster/detail/shared_state.hpp>
#include <muster/detail/task_owner.hpp>
#include <muster/stop_token.hpp>
#include <muster/task_options.hpp>

namespace muster::detail {

/// A task that runs in this process: what waits in the queue and what its futures share, in one
/// allocation.
///
/// An attempt that fails and is not the last makes it pending again: in the queue, or known to the
/// timers until its delay is over, or, where its executor has no queue, in the hands of its thread.
template <typename R>
class Task : public State<R>, public Runnable {
  public:
    using Result = R;

    /// Makes the task `owner`'s, which has accepted it.
    void join(TaskOwner& owner) noexcept {
        owner_ = &owner;
        submitted_ns = now_ns();
    }
    /// Nobody holds a future: what it throws goes to `on_error`.
    void set_posted() noexcept { posted_ = true; }

    void run(RunContext& context) noexcept final {
        leave_queue();
        run_ahead(context);
        this->release();
    }

    void run_ahead(RunContext& context) noexcept final {
        while (leave_pending(Phase::running)) {
            const Deadline again = perform(context);
            if (!again) return;
            owner_->delay_here(*this, again);
            context.now = Clock::now();
        }
    }

    void abandon() noexcept final {
        leave_queue();
        this->cancel();
        this->release();
    }

    bool wait(const Deadline& deadline) noexcept final {
        // When it is queued again, one of those workers that wait for it has to learn of that.
        if (attempts_ && attempts_->options.retries != 0) return wait_composite(*this, deadline);
        return owner_->await(*this, deadline);
    }

    bool cancel() noexcept final {
        if (leave_pending(Phase::cancelling)) {
            this->drop_work();
            owner_->finish_cancelled(*this, this->publish(Phase::cancelled));
            return true;
        }
        const Phase now = this->phase();
        return now == Phase::cancelling || now == Phase::cancelled;
    }

    bool request_stop() noexcept final {
        if (this->done()) return false;
        if (!attempts_) return stop_source() && owner_->request_stop(*stop_source());
        std::optional<StopSource> source;
        bool first = false;
        bool between_attempts = false;
        {
            const std::lock_guard held(attempts_->mutex);
            first = !std::exchange(attempts_->stop_requested, true);
            source = copy_of_source();
            between_attempts = attempts_->tried() && advance_pending(Phase::settling);
        }
        if (source) owner_->request_stop(*source);
        if (between_attempts) {
            this->drop_work();
            this->emplace_error(attempts_->error);
            owner_->finish_between_attempts(*this, this->publish(Phase::failed),
                                            attempts_->timed_out);
        }
        return first && (source || attempts_->options.retries != 0);
    }

    [[nodiscard]] std::string title() const final {
        const bool named = attempts_ && !attempts_->options.name.empty();
        return named ? "task '" + attempts_->options.name + "'" : StateBase::title();
    }

    bool help() noexcept final {
        return this->phase() == Phase::pending && !delayed() && owner_->run_here(*this);
    }
    Gate* gate_here() noexcept final { return owner_->gate_here(); }
    [[nodiscard]] bool runs_here() const noexcept final { return RunningHere::contains(*this); }
    [[nodiscard]] TaskOwner* owner() const noexcept final { return owner_; }

    std::optional<Overrun> alarm(Clock::time_point when) noexcept final {
        const std::lock_guard held(attempts_->mutex);
        if (attempts_->alarm != when) return {};  // Of an attempt that has ended meanwhile.
        attempts_->alarm.reset();
        if (this->phase() == Phase::pending) {
            queue_again();
            return {};
        }
        attempts_->timed_out = true;
        attempts_->error = timeout_error();
        // The last attempt's end is not waited for: the future is done when its time is up.
        const bool settles = !may_retry() && this->advance(Phase::running, Phase::settling);
        if (settles) this->emplace_error(attempts_->error);
        return Overrun{copy_of_source(), settles};
    }

    void hasten() noexcept final {
        const std::lock_guard held(attempts_->mutex);
        if (this->phase() != Phase::pending || !attempts_->alarm) return;
        clear_alarm();
        queue_again();
    }

    void end_overrun(const Overrun& overrun) noexcept final {
        // Who waits for the outcome does not wait for stop callbacks.
        Continuation* const callbacks = overrun.settles ? this->publish(Phase::failed) : nullptr;
        if (overrun.source) owner_->request_stop(*overrun.source);
        if (!overrun.settles) return;
        owner_->finish_timed_out(*this, callbacks, posted_ ? attempts_->error : nullptr);
        if (is_second_to_end()) owner_->ended_elsewhere();
    }

  protected:
    ~Task() override {
        if (owner_) owner_->release();
    }

    /// Calls the callable, which may be done once.
    virtual Stored<R> call() = 0;

    /// What it makes its stop tokens from; null if the callable takes none.
    virtual StopSource* stop_source() noexcept { return nullptr; }

    /// Called once, before the task is anybody else's. `call_copies` calls a copy of the callable
    /// with copies of its arguments.
    void keep_options(TaskOptions&& options, Stored<R> (*call_copies)(Task&)) {
        priority = options.priority;
        if (options.timeout || options.retries != 0 || !options.name.empty())
            attempts_ = std::make_unique<CallAttempts>(std::move(options), call_copies);
    }

  private:
    struct CallAttempts : Attempts {
        CallAttempts(TaskOptions&& wanted, Stored<R> (*with_copies)(Task&))
            : Attempts{std::move(wanted)}, call_copies{with_copies} {}
        Stored<R> (*const call_copies)(Task&);
    };

    /// Runs it once. If it is to run again and no queue has it, returns when: in this thread.
    Deadline perform(RunContext& context) noexcept {
        const Clock::time_point start = context.now;
        if (attempts_ && attempts_->tried())
            owner_->began_again(context);
        else
            owner_->began(context, submitted_ns);
        std::exception_ptr error = attempt();
        owner_->returned(context, start);

        if (!error) {
            owner_->completed(context);
            this->conclude(Phase::succeeded);
            owner_->ended(context.cell);
            return std::nullopt;
        }
        Deadline again;
        if (attempts_ && put_back(context, error, again)) return again;
        this->drop_work();
        if (this->phase() == Phase::running) {
            if (posted_) owner_->report(error, *this);
            this->emplace_error(std::move(error));
            owner_->failed(context, attempts_ && attempts_->timed_out);
            this->conclude(Phase::failed);
            owner_->ended(context.cell);
        } else if (is_second_to_end()) {  // Its time limit settled it.
            owner_->ended(context.cell);
        }
        return std::nullopt;
    }

    /// Calls the callable and keeps its value, or returns why there is none.
    std::exception_ptr attempt() noexcept {
        const RunningHere here(*this);
        std::optional<RunningNames::Entry> named;
        if (attempts_ && !attempts_->options.name.empty())
            named.emplace(owner_->running_names(), attempts_->options.name);
        try {
            if (attempts_) begin_attempt();
            if (std::exception_ptr broken = owner_->broken())
                std::rethrow_exception(std::move(broken));
            Stored<R> value =
                attempts_ && attempts_->retries_left != 0 ? attempts_->call_copies(*this) : call();
            if (std::exception_ptr overruling = end_attempt()) return overruling;
            this->emplace_value(std::move(value));
            this->drop_work();
            return nullptr;
        } catch (...) {
            std::exception_ptr overruling = end_attempt();
            return overruling ? overruling : std::current_exception();
        }
    }

    void begin_attempt() {
        std::optional<StopSource> source;
        if (attempts_->timed_out && stop_source()) source.emplace();  // The old one is used up.
        const std::lock_guard held(attempts_->mutex);
        attempts_->timed_out = false;
        if (source) {
            if (attempts_->stop_requested) source->request_stop();
            std::swap(*source, *stop_source());
        }
        if (attempts_->options.timeout) set_alarm(deadline_after(*attempts_->options.timeout));
    }

    /// From here on the attempt cannot run into its time limit. Returns the error that it has
    /// whatever came of the call, if there is one.
    std::exception_ptr end_attempt() noexcept {
        if (attempts_) {
            const std::lock_guard held(attempts_->mutex);
            clear_alarm();
            if (attempts_->timed_out) return attempts_->error;
        }
        return owner_->broken();
    }

    /// After a failed attempt: makes the task pending again, unless it was the last one. Sets
    /// `again` if no queue will have it.
    bool put_back(RunContext& context, const std::exception_ptr& error, Deadline& again) noexcept {
        {
            const std::lock_guard held(attempts_->mutex);
            if (this->phase() != Phase::running || !may_retry()) return false;
            --attempts_->retries_left;
            attempts_->error = error;
            owner_->put_back(context);
            const std::chrono::nanoseconds delay = next_delay();
            again = deadline_after(delay).value_or((Clock::time_point::max)());
            this->advance(Phase::running, Phase::pending);
            if (owner_->requeues()) {
                if (delay == std::chrono::nanoseconds::zero()) {
                    queue_again();
                    again.reset();
                } else {
                    try {
                        set_alarm(again);
                        again.reset();
                    } catch (...) {  // No timer thread: then this one waits.
                    }
                }
            }
        }
        if (!again && owner_->cancels_retries()) this->cancel();
        if (!again && owner_->broken()) hasten();
        return true;
    }

    [[nodiscard]] std::chrono::nanoseconds next_delay() const noexcept {
        const TaskOptions& options = attempts_->options;
        return retry_delay(options.retry_delay, options.retries - attempts_->retries_left);
    }

    std::exception_ptr timeout_error() {
        return std::make_exception_ptr(TaskTimeout(
            "muster: " + title() + " ran longer than its timeout of " +
            std::to_string(std::chrono::duration<double>(*attempts_->options.timeout).count()) +
            " s and keeps its thread until it returns; " +
            (stop_source() ? "it was asked to stop: have it look at its StopToken more often"
                           : "have it take a StopToken, to be asked to stop") +
            ", or give it a longer .timeout"));
    }

    void leave_queue() noexcept {
        if (!attempts_) return;
        const std::lock_guard held(attempts_->mutex);
        attempts_->queued = false;
    }
    /// True while the delay before its next attempt lasts. Requires: it is pending.
    [[nodiscard]] bool delayed() const noexcept {
        if (!attempts_) return false;
        const std::lock_guard held(attempts_->mutex);
        return attempts_->alarm.has_value();
    }
    /// The one way from pending to another phase, which ends the delay; it does not begin in it.
    bool leave_pending(Phase to) noexcept {
        if (!attempts_) return this->advance(Phase::pending, to);
        const std::lock_guard held(attempts_->mutex);
        return advance_pending(to);
    }

    // These require that the lock is held.

    bool advance_pending(Phase to) noexcept {
        if (to == Phase::running && attempts_->alarm) return false;
        if (!this->advance(Phase::pending, to)) return false;
        clear_alarm();
        return true;
    }
    [[nodiscard]] bool may_retry() const noexcept {
        return attempts_->retries_left != 0 && !attempts_->stop_requested &&
               !owner_->cancels_retries() && !owner_->broken();
    }
    void set_alarm(const Deadline& when) {
        if (!when) return;
        owner_->watch(*when, *this);
        attempts_->alarm = when;
    }
    void clear_alarm() noexcept {
        if (const Deadline when = std::exchange(attempts_->alarm, std::nullopt))
            owner_->unwatch(*when, *this);
    }
    /// A worker that ran it ahead has left it in its queue, where it must not be linked twice.
    void queue_again() noexcept {
        const bool queued = std::exchange(attempts_->queued, true);
        if (!queued) {
            submitted_ns = now_ns();
            this->retain();
        }
        owner_->requeue(*this, queued);
    }
    std::optional<StopSource> copy_of_source() noexcept {
        if (StopSource* const source = stop_source()) return *source;
        return std::nullopt;
    }

    static std::int64_t now_ns() noexcept {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
            .count();
    }

    // A task past its time limit is over when it has returned and its callbacks have, in two threads.
    bool is_second_to_end() noexcept {
        return one_ended_.exchange(true, std::memory_order_acq_rel);
    }

    TaskOwner* owner_ = nullptr;
    std::unique_ptr<CallAttempts> attempts_;  // Only for tasks whose options need it.
    bool posted_ = false;
    std::atomic<bool> one_ended_{false};
};

}  // namespace muster::detail
