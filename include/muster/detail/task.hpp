// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <muster/detail/runnable.hpp>
#include <muster/detail/shared_state.hpp>
#include <muster/detail/task_owner.hpp>
#include <muster/task_options.hpp>

namespace muster::detail {

/// A task that runs in this process: what waits in the queue and what its futures share, in one
/// allocation.
template <typename R>
class Task : public State<R>, public Runnable {
  public:
    using Result = R;

    /// Makes the task `owner`'s, which has accepted it.
    void join(TaskOwner& owner) noexcept {
        owner_ = &owner;
        submitted_ns =
            std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
                .count();
    }
    void set_options(TaskOptions&& options) {
        priority = options.priority;
        if (options.timeout || !options.name.empty())
            options_ = std::make_unique<TaskOptions>(std::move(options));
    }
    /// Nobody holds a future: what it throws goes to `on_error`.
    void set_posted() noexcept { posted_ = true; }

    void run(RunContext& context) noexcept final {
        if (this->advance(Phase::pending, Phase::running)) perform(context);
        this->release();
    }

    void abandon() noexcept final {
        this->cancel();
        this->release();
    }

    bool wait(const Deadline& deadline) noexcept final { return owner_->await(*this, deadline); }

    bool cancel() noexcept final {
        if (this->advance(Phase::pending, Phase::cancelling)) {
            this->drop_work();
            owner_->finish_cancelled(*this, this->publish(Phase::cancelled));
            return true;
        }
        const Phase now = this->phase();
        return now == Phase::cancelling || now == Phase::cancelled;
    }

    bool help() noexcept final {
        return this->phase() == Phase::pending && owner_->run_here(*this, *this);
    }
    Gate* gate_here() noexcept final { return owner_->gate_here(); }
    [[nodiscard]] TaskOwner* owner() const noexcept final { return owner_; }

    void expire() noexcept final {
        if (!this->advance(Phase::running, Phase::settling)) return;
        this->emplace_error(std::make_exception_ptr(
            TaskTimeout("muster: " + title() + " ran longer than its timeout of " +
                        std::to_string(std::chrono::duration<double>(*options_->timeout).count()) +
                        " s; it was asked to stop, and keeps its thread until it returns")));
        this->request_stop();
        owner_->finish_timed_out(*this, this->publish(Phase::failed));
        if (is_second_to_end()) owner_->ended_elsewhere();
    }

  protected:
    ~Task() override {
        if (owner_) owner_->release();
    }

    virtual Stored<R> call() = 0;

  private:
    [[nodiscard]] std::string title() const {
        return options_ && !options_->name.empty() ? "task '" + options_->name + "'" : "a task";
    }

    void perform(RunContext& context) noexcept {
        const Clock::time_point start = context.now;
        owner_->began(context, submitted_ns);
        const bool limited = options_ && options_->timeout;
        const Clock::time_point limit =
            limited ? deadline_after(*options_->timeout).value_or(Clock::time_point::max()) : start;

        // A limited task may have been settled by its time limit, and then its outcome is dropped.
        bool settles = !limited;
        const auto begin_settling = [&] {
            return settles = settles || this->advance(Phase::running, Phase::settling);
        };
        Phase outcome = Phase::failed;
        try {
            if (std::exception_ptr broken = owner_->broken())
                std::rethrow_exception(std::move(broken));
            if (limited) owner_->watch(limit, *this);
            Stored<R> value = call();
            this->drop_work();
            if (begin_settling()) {
                this->emplace_value(std::move(value));
                outcome = Phase::succeeded;
            }
        } catch (...) {
            this->drop_work();
            if (posted_) owner_->report(std::current_exception());
            if (begin_settling()) this->emplace_error(std::current_exception());
        }
        if (limited) owner_->unwatch(limit, *this);

        owner_->returned(context, start);
        if (settles) {
            outcome == Phase::succeeded ? owner_->completed(context) : owner_->failed(context);
            this->conclude(outcome);
        }
        if (settles || is_second_to_end()) owner_->ended(context.cell);
    }

    // A task past its time limit is over when it has returned and its callbacks have, in two threads.
    bool is_second_to_end() noexcept {
        return one_ended_.exchange(true, std::memory_order_acq_rel);
    }

    TaskOwner* owner_ = nullptr;
    std::unique_ptr<TaskOptions> options_;  // Only for tasks that have a name or a time limit.
    bool posted_ = false;
    std::atomic<bool> one_ended_{false};
};

}  // namespace muster::detail
