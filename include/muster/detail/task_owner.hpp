// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include <muster/detail/admission.hpp>
#include <muster/detail/error_handler.hpp>
#include <muster/detail/frame.hpp>
#include <muster/detail/gate.hpp>
#include <muster/detail/ledger.hpp>
#include <muster/detail/local_delays.hpp>
#include <muster/detail/runnable.hpp>
#include <muster/detail/running_names.hpp>
#include <muster/detail/shared_state.hpp>
#include <muster/detail/timers.hpp>

namespace muster::detail {

/// What all executors have behind them: which tasks they accepted and what became of those.
///
/// Tasks point to their owner, so it lives until the executor *and* the last of its tasks are gone.
/// Everything that looks at thread-local data is virtual: that code then runs in the module that
/// made the executor, and not with the copy of the variable of some other shared library.
class TaskOwner {
  public:
    TaskOwner(std::size_t max_pending, std::function<void(std::exception_ptr)> on_error)
        : admission_{max_pending}, on_error_{std::move(on_error)} {}
    TaskOwner(const TaskOwner&) = delete;
    TaskOwner& operator=(const TaskOwner&) = delete;

    // --- accepting

    /// Counts a task in. Waits for room if `max_pending` says so, unless called from its own tasks.
    /// False when the deadline passed first. Throws: `ShutdownError` when the executor was shut down.
    bool accept(const Deadline& deadline = std::nullopt) {
        throw_if_unusable();
        if (admission_.bounded() && !wait_for_room(deadline)) return false;
        count_in();
        return true;
    }
    /// As `accept`, but false instead of waiting.
    bool try_accept() {
        throw_if_unusable();
        throw_if_closed();
        if (tasks_here() != 0)
            admission_.enter_exempt();
        else if (!admission_.try_enter())
            return false;
        count_in();
        return true;
    }

    /// Takes back what was counted in: there is no task.
    void retract() noexcept {
        ledger_.refuse();
        admission_.leave();
        out_of_work(ledger_.common());  // Who looked in between has seen one task too many.
    }

    /// Throws when this process cannot use the executor at all.
    virtual void throw_if_unusable() const {}

    /// True when this process got the executor through the application's own `fork`.
    [[nodiscard]] virtual bool inherited() const noexcept { return false; }

    /// Ends accepting; true for the first call.
    bool close() noexcept {
        const bool first = !closed_.exchange(true, std::memory_order_seq_cst);
        admission_.notify();
        return first;
    }
    [[nodiscard]] bool closed() const noexcept { return closed_.load(std::memory_order_seq_cst); }

    // --- running

    /// Counts a task's start. Returns the moment.
    void began(RunContext& context, std::int64_t submitted_ns) noexcept {
        context.cell.add(context.cell.started, std::uint64_t{1});
        context.cell.add(context.cell.waiting_ns, nanoseconds(context.now) - submitted_ns);
    }
    void completed(RunContext& context) noexcept {
        context.cell.add(context.cell.completed, std::uint64_t{1});
    }
    void failed(RunContext& context, bool timed_out) noexcept {
        timed_out ? ledger_.time_out() : context.cell.add(context.cell.failed, std::uint64_t{1});
    }
    /// The task's body has returned; its callbacks are yet to run.
    void returned(RunContext& context, Clock::time_point began) noexcept {
        context.now = Clock::now();
        context.cell.add(context.cell.running_ns, nanoseconds(context.now - began));
    }
    /// The task and its callbacks are over.
    void ended(LedgerCell& cell) noexcept {
        cell.end_one();
        admission_.leave();
        if (cell.shared) out_of_work(cell);
    }
    /// Tells who waits for idleness, if this is it. A worker with a cell of its own calls it when it
    /// finds nothing to run, not after each task: summing up all cells is not free.
    virtual void out_of_work(LedgerCell& cell) noexcept {
        cell.ended.fetch_add(0, std::memory_order_seq_cst);  // Orders the count before the looks.
        if (idle_.watched() && idle(true)) idle_.notify();
        if (closed()) maybe_quiet();
    }

    // --- running again

    /// Whether tasks that are to be tried again go back into a queue. If not, the thread that ran
    /// them waits and runs them again.
    [[nodiscard]] virtual bool requeues() const noexcept { return false; }

    /// Queues a task for its next attempt, unless it still is `queued`, and tells who can run it.
    virtual void requeue(Runnable& /*runnable*/, bool /*queued*/) noexcept {}

    /// A begun task is pending again.
    void put_back(RunContext& context) noexcept {
        context.cell.add(context.cell.started, ~std::uint64_t{0});
    }
    /// Counts a further attempt's start.
    void began_again(RunContext& context) noexcept {
        context.cell.add(context.cell.started, std::uint64_t{1});
        ledger_.retry();
    }

    /// Runs the callbacks of a task that will not have its next attempt, and counts it as its last
    /// one ended.
    void finish_between_attempts(StateBase& task, Continuation* callbacks,
                                 bool timed_out) noexcept {
        RunContext context{ledger_.common(), {}};
        context.cell.add(context.cell.started, std::uint64_t{1});
        failed(context, timed_out);
        finish_settled(task, callbacks, nullptr);
    }

    /// From now on tasks that wait for their next attempt are cancelled.
    void cancel_retries() {
        // Either this finds the task, or who puts it back sees the flag: the timers' lock orders it.
        cancels_retries_.store(true, std::memory_order_seq_cst);
        for (const Ref<StateBase>& task : timers().waiting()) task->cancel();
        for (const Ref<StateBase>& task : delays_.tasks()) task->cancel();
    }
    /// The executor is broken: tasks that wait for their next attempt learn of it now. Either this
    /// finds the task, or who puts it back sees that it is broken.
    void hasten_retries() noexcept {
        try {
            for (const Ref<StateBase>& task : timers().waiting()) task->hasten();
        } catch (const std::bad_alloc&) {  // They learn of it when their delay is over.
        }
    }
    [[nodiscard]] bool cancels_retries() const noexcept {
        return cancels_retries_.load(std::memory_order_seq_cst);
    }

    /// Waits in the thread that ran the task until its next attempt, or until it is done: cancelled.
    void delay_here(StateBase& task, const Deadline& again) noexcept {
        const LocalDelays::Entry here(delays_, task);
        if (cancels_retries()) task.cancel();
        task.sleep_until_done(again);
    }

    // --- ending

    /// Asks a task to stop: its stop callbacks run here and now, and may submit as it may.
    virtual bool request_stop(const StopSource& source) noexcept {
        const FrameGuard frame(*this, 1);
        return source.request_stop();
    }

    /// Runs a task in this thread, which is not one of the executor's workers.
    virtual void execute(Runnable& runnable) noexcept {
        // The task may be the last that keeps this, and destroys its value when it has let go of it.
        const Ref<TaskOwner> kept = Ref<TaskOwner>::share(this);
        const FrameGuard frame(*this, 1);
        RunContext context{ledger_.common(), Clock::now()};
        runnable.run(context);
    }

    /// Runs the callbacks of a task that was cancelled in this thread, and counts it.
    virtual void finish_cancelled(StateBase& task, Continuation* callbacks) noexcept {
        const FrameGuard frame(*this, 1);
        task.run_callbacks(callbacks);
        ledger_.cancel();
        ended(ledger_.common());
    }

    /// Runs the callbacks of a task that was settled elsewhere, in this thread, and counts its end.
    virtual void finish_settled(StateBase& task, Continuation* callbacks,
                                const std::exception_ptr& unseen) noexcept {
        const FrameGuard frame(*this, 1);
        if (unseen) report(unseen, task);
        task.run_callbacks(callbacks);
        ended(ledger_.common());
    }

    /// Runs the callbacks of a task that ran into its time limit, and counts it; not its end, which
    /// is when it has returned as well.
    virtual void finish_timed_out(StateBase& task, Continuation* callbacks,
                                  const std::exception_ptr& unseen) noexcept {
        const FrameGuard frame(*this, 1);
        if (unseen) report(unseen, task);
        ledger_.time_out();
        task.run_callbacks(callbacks);
    }
    /// A task that ran into its time limit had returned before its callbacks did.
    void ended_elsewhere() noexcept { ended(ledger_.common()); }

    /// Runs a task in this thread if this is a worker of this executor and the task is still queued.
    virtual bool run_here(Runnable& /*runnable*/) noexcept { return false; }

    /// See `StateBase::gate_here`.
    virtual Gate* gate_here() noexcept { return nullptr; }
    /// The same of a pool that this thread works for; null if there is none.
    static Gate* worker_gate_here() noexcept {
        for (const Frame* frame = frames(); frame; frame = frame->below)
            if (Gate* const gate = frame->owner->gate_here()) return gate;
        return nullptr;
    }
    /// Whose gate that is, among those that this thread works for.
    static TaskOwner* owner_of(const Gate& gate) noexcept {
        for (const Frame* frame = frames(); frame; frame = frame->below)
            if (frame->owner->gate_here() == &gate) return frame->owner;
        return nullptr;
    }
    /// Makes workers that wait look again whether they have to run what they wait for.
    virtual void look_again() noexcept {}

    /// Blocks until `task` is done. False when the deadline passed first.
    virtual bool await(StateBase& task, const Deadline& deadline) noexcept {
        return task.StateBase::wait(deadline);
    }

    /// Why tasks fail instead of running, once the executor is broken.
    [[nodiscard]] virtual std::exception_ptr broken() const noexcept { return nullptr; }

    // --- waiting

    /// Waits until no task is pending or running and all callbacks have run; from inside a task,
    /// until no other task is. False when the deadline passed first.
    virtual bool wait_idle(const Deadline& deadline) {
        const bool inside = tasks_here() != 0;
        return wait_idle_among([&] { return idle(inside); }, idle_, deadline);
    }

    /// How many tasks of this executor are on this thread's stack.
    [[nodiscard]] virtual std::size_t tasks_here() const noexcept {
        std::size_t tasks = 0;
        for (const Frame* frame = frames(); frame; frame = frame->below)
            if (frame->owner == this) tasks += frame->tasks;
        return tasks;
    }

    // --- the rest

    void report(const std::exception_ptr& error, const StateBase& task,
                const char* part = "") const noexcept {
        report_error(on_error_, error, task, part);
    }
    [[nodiscard]] Ledger& ledger() noexcept { return ledger_; }
    [[nodiscard]] ExecutorStats stats() const {
        ExecutorStats all = ledger_.stats();
        if (!inherited()) all.running_names = running_names_.all();  // Its lock may be held there.
        return all;
    }
    /// Where who runs a task in this process adds its name.
    [[nodiscard]] RunningNames& running_names() noexcept { return running_names_; }

    void watch(Clock::time_point when, StateBase& task) { timers().add(when, task); }
    void unwatch(Clock::time_point when, StateBase& task) noexcept { timers_->remove(when, task); }

    /// Counts a reference that is not an accepted task's.
    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    /// An accepted task is destroyed, or a reference given back.
    void release() noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    /// The executor is being destroyed. Requires: it accepts nothing any more.
    virtual void retire() { release_executor(); }

    void release_executor() noexcept {
        // Until now the count was `bias` too high and the accepted tasks were not in it, so that
        // submitting and dropping a task touch different counters.
        const auto accepted = static_cast<std::int64_t>(ledger_.accepted());
        const std::int64_t change = accepted - bias;
        if (references_.fetch_add(change, std::memory_order_acq_rel) + change == 0) delete this;
    }

  protected:
    virtual ~TaskOwner() = default;

    /// No task is left and none will come. Called at least once after `close()`.
    virtual void quiet() noexcept {}

    void maybe_quiet() noexcept {
        if (ledger_.outstanding() == 0) quiet();
    }

    [[nodiscard]] bool idle(bool from_inside) const noexcept {
        const std::uint64_t ignored =
            from_inside ? waiting_inside_.load(std::memory_order_seq_cst) : 0;
        return ledger_.outstanding() <= ignored;
    }

    template <typename Ready>
    bool wait_idle_among(Ready ready, Gate& gate, const Deadline& deadline) {
        // Each task on this stack counts once, also when one that waits runs on top of another.
        std::size_t inside = 0;
        Frame* counted = nullptr;
        for (Frame* frame = frames(); frame && !counted; frame = frame->below) {
            if (frame->owner != this) continue;
            if (frame->waits_for_idle)
                counted = frame;
            else
                inside += frame->tasks;
            frame->waits_for_idle = true;
        }
        waiting_inside_.fetch_add(inside, std::memory_order_seq_cst);
        if (inside != 0) {
            idle_.notify();  // Tasks that wait for each other's end do not count for each other.
            if (&gate != &idle_) gate.notify();
        }
        const bool reached = gate.wait(ready, deadline);
        waiting_inside_.fetch_sub(inside, std::memory_order_seq_cst);
        for (Frame* frame = frames(); frame != counted; frame = frame->below)
            if (frame->owner == this) frame->waits_for_idle = false;
        return reached;
    }

    static std::int64_t nanoseconds(Clock::time_point when) noexcept {
        return nanoseconds(when.time_since_epoch());
    }
    static std::int64_t nanoseconds(Clock::duration duration) noexcept {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
    }

    Gate idle_;

  private:
    static constexpr std::int64_t bias = std::int64_t{1} << 60;

    void throw_if_closed() const {
        if (closed())
            throw ShutdownError(
                "muster: cannot submit: the executor was shut down; submit before shutdown(), or "
                "make a new executor");
    }

    bool wait_for_room(const Deadline& deadline) {
        throw_if_closed();
        if (tasks_here() != 0) return admission_.enter_exempt(), true;
        if (admission_.enter([this] { return closed(); }, deadline)) return true;
        throw_if_closed();
        return false;
    }

    void count_in() {
        ledger_.accept();
        // Either this sees the shutdown, or the shutdown sees the task and waits for it.
        if (closed()) {
            retract();
            throw_if_closed();
        }
    }

    Timers& timers() {
        std::call_once(timers_made_, [this] { timers_ = std::make_unique<Timers>(); });
        return *timers_;
    }

    Ledger ledger_;
    RunningNames running_names_;
    std::atomic<bool> closed_{false};
    std::atomic<bool> cancels_retries_{false};
    Admission admission_;
    std::function<void(std::exception_ptr)> on_error_;
    std::atomic<std::uint64_t> waiting_inside_{0};
    alignas(64) std::atomic<std::int64_t> references_{bias};
    LocalDelays delays_;
    std::once_flag timers_made_;
    std::unique_ptr<Timers> timers_;
};

inline void StateBase::wake_helpers() noexcept {
    if (TaskOwner* const who = owner()) who->look_again();
}

inline bool StateBase::orphaned() noexcept {
    const TaskOwner* const who = owner();
    return who && who->inherited() && !done();
}

}  // namespace muster::detail
