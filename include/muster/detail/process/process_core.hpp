// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <muster/detail/attempts.hpp>
#include <muster/detail/process/callback_thread.hpp>
#include <muster/detail/process/dispatcher.hpp>
#include <muster/detail/process/exception_transport.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/spin.hpp>

namespace muster::detail {

/// The part of a process pool through which all tasks and results pass, in whatever thread.
///
/// Two locks. `receiving_` is held by who reads results from the workers, and while they are
/// decoded; `mutex_`, for short, by who looks at or changes which task is where. No user code runs
/// under `mutex_`, and `receiving_` is never waited for while it is held.
class ProcessCore : public RemoteOwner {
  public:
    ProcessCore(std::size_t max_pending, std::function<void(std::exception_ptr)> on_error)
        : RemoteOwner(max_pending, std::move(on_error)) {
        ledger().add(cell_);
    }

    [[nodiscard]] PoolMemory& memory() noexcept { return memory_; }
    [[nodiscard]] ModuleTable& modules() noexcept { return modules_; }

    /// Takes a task that was accepted. What hinders it goes to its future.
    virtual void take(TaskHandle handle, const void* executor) {
        try {
            prepare();
            std::unique_lock held(mutex_);
            if (!started_) {
                start(executor);
                started_ = true;
            }
            if (!broken_) {
                handle.task->id = dispatcher_.next_id();
                memory_.at<Record>(handle.task->call.record)->id = handle.task->id;
                dispatcher_.add(std::move(handle));
                dispatch();
                return;
            }
        } catch (...) {
            fail(std::move(handle), std::current_exception());
            return;
        }
        fail(std::move(handle), broken_());
    }

    bool cancel_remote(RemoteTask& task) noexcept override {
        if (inherited()) return false;  // The task is the other process's, and its worker too.
        TaskHandle handle;
        {
            const std::lock_guard held(mutex_);
            handle = dispatcher_.withdraw(task);
            if (handle.task) {
                handle.begin_cancel();
                dispatch();
            }
        }
        if (!handle.task) return false;
        cancel(handle);
        return true;
    }

    bool kill_remote(RemoteTask& task) noexcept override {
        if (inherited()) return false;
        TaskHandle handle;
        {
            const std::unique_lock receiving = lock_receiving();
            while (!take_to_kill(task, handle)) receive_if_free();  // What was sent is not lost.
        }
        if (!receiving_here()) try_receive();  // Others may have left that to us.
        if (!handle.task) return false;
        cancel(handle);
        return true;
    }

    bool stop_remote(RemoteTask& task) noexcept override {
        if (inherited()) return false;
        task.stop_requested.store(true, std::memory_order_seq_cst);
        TaskHandle between_attempts;
        {
            const std::lock_guard held(mutex_);
            if (task.place == RemoteTask::Place::nowhere) return task.has_attempts;
            memory_.at<Record>(task.call.record)
                ->stop_requested.store(1, std::memory_order_seq_cst);
            if (task.last_error) between_attempts = dispatcher_.withdraw(task);
            if (between_attempts.task) dispatch();
            if (!between_attempts.task && task.takes_stop &&
                task.place == RemoteTask::Place::handed_out)
                return send_stop(task.worker->lifeline.get(), task.id);
        }
        if (between_attempts.task)
            fail(std::move(between_attempts), task.last_error, task.last_outcome);
        return true;
    }

    [[nodiscard]] bool begun(const RemoteTask& task) const noexcept override {
        if (inherited()) return false;
        const std::lock_guard held(mutex_);
        using Place = RemoteTask::Place;  // Nowhere: its outcome is being read, or written.
        return task.place == Place::nowhere ||
               (task.place == Place::handed_out && task.worker->begun(task.number));
    }

    /// Who decodes results must wait for nothing that others bring, such as room.
    [[nodiscard]] std::size_t tasks_here() const noexcept override {
        return TaskOwner::tasks_here() + (receiving_here() ? 1 : 0);
    }

    void free_record(const EncodedCall& call) noexcept override {
        if (!inherited()) memory_.free(call.record, call.bytes);
    }

    bool await(StateBase& task, const Deadline& deadline) noexcept override {
        if (inherited() || receiving_here()) return task.sleep_until_done(deadline);
        {
            const Receiver awake(*this);
            if (spin_until([&] { return task.done() || (try_receive(), task.done()); }))
                return true;
        }
        // One of those who wait leads: the workers wake it, with no other thread in between.
        const std::unique_lock leads(leading_, std::try_to_lock);
        return leads ? lead(task, deadline) : task.sleep_until_done(deadline);
    }

  protected:
    using MakeError = std::function<std::exception_ptr()>;

    ~ProcessCore() override = default;

    /// Does what runs user code and has to come before `start`. Called for each task.
    virtual void prepare() = 0;
    /// Begins the pool's life, at its first task. Called under `mutex_`.
    virtual void start(const void* executor) = 0;
    /// Wakes the manager if it has something to do. Called under `mutex_`.
    virtual void ask_for_manager() noexcept = 0;

    /// Hands out what can be handed out. Requires: `mutex_` is held.
    void dispatch() {
        dispatcher_.dispatch();
        ask_for_manager();
    }

    /// Kills a worker and has others run what it has not begun. Requires: both locks are held.
    void end(WorkerHandle& worker) {
        worker.life = WorkerHandle::Life::leaving;
        worker.kill();
        dispatcher_.recall_all(worker);
    }

    // --- receiving

    /// While one lives, workers need not ring the bell: somebody looks at their results.
    class Receiver {
      public:
        explicit Receiver(ProcessCore& core) noexcept : core_{core} {
            core_.memory_.page().receivers.fetch_add(1, std::memory_order_seq_cst);
        }
        Receiver(const Receiver&) = delete;
        Receiver& operator=(const Receiver&) = delete;
        ~Receiver() {
            PoolPage& page = core_.memory_.page();
            page.bell_epoch.fetch_add(1, std::memory_order_seq_cst);
            page.receivers.fetch_sub(1, std::memory_order_seq_cst);
            core_.try_receive();  // A worker that saw us did not ring.
        }

      private:
        ProcessCore& core_;
    };

    /// True while this thread decodes results: then it must not wait for any.
    [[nodiscard]] bool receiving_here() const noexcept {
        return receiver_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }

    /// Keeps others from receiving, unless this thread is at it.
    [[nodiscard]] std::unique_lock<std::mutex> lock_receiving() {
        std::unique_lock lock(receiving_, std::defer_lock);
        if (!receiving_here()) lock.lock();
        return lock;
    }
    /// Requires: `lock_receiving()`.
    void receive_if_free() noexcept {
        if (!receiving_here()) receive();
    }

    /// Receives what is there. If another thread does that, it will look once more for us.
    void try_receive() noexcept {
        look_again_.store(true, std::memory_order_seq_cst);
        while (look_again_.load(std::memory_order_seq_cst)) {
            const std::unique_lock held(receiving_, std::try_to_lock);
            if (!held) return;
            look_again_.store(false, std::memory_order_seq_cst);
            receive();
        }
    }

    /// Receives all that the workers have published. Requires: `receiving_` is held.
    void receive() noexcept {
        receiver_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        bool any = false;
        // Workers come and go only under receiving_, so the list stays as it is.
        for (std::size_t i = 0; i < dispatcher_.workers.size(); ++i)
            while (receive_from(*dispatcher_.workers[i])) any = true;
        receiver_.store({}, std::memory_order_relaxed);
        if (any) out_of_work(cell_);
    }

    // --- settling

    /// Publishes an outcome that was kept. Callbacks run in the thread kept for them.
    void settle(TaskHandle handle, Outcome outcome, LedgerCell& cell) noexcept {
        if (handle.task->call.bytes != 0) free_record(std::exchange(handle.task->call, {}));
        cell.add(cell.started, std::uint64_t{1});
        if (outcome == Outcome::completed) cell.add(cell.completed, std::uint64_t{1});
        if (outcome == Outcome::failed) cell.add(cell.failed, std::uint64_t{1});
        if (outcome == Outcome::timed_out) ledger().time_out();
        (void)handle.state->begin_settling();
        Continuation* const callbacks =
            handle.state->publish(outcome == Outcome::completed ? Phase::succeeded : Phase::failed);
        wake_leader(*handle.state);
        const std::exception_ptr unseen = handle.task->posted ? handle.state->error() : nullptr;
        if (!callbacks && !unseen) return ended(cell);
        const StateBase& task = *handle.state;
        callbacks_.post(task, [this, state = std::move(handle.state), callbacks, unseen] {
            finish_settled(*state, callbacks, unseen);
        });
    }

    /// Ends a task that did not, or not wholly, run.
    void fail(TaskHandle handle, std::exception_ptr error,
              Outcome outcome = Outcome::failed) noexcept {
        handle.task->keep_error(std::move(error));
        settle(std::move(handle), outcome, ledger().common());
    }

    /// Has the task run once more, if it has an attempt left; then the handle is empty.
    bool retry(TaskHandle& handle, const std::exception_ptr& error, Outcome outcome) noexcept {
        RemoteTask& task = *handle.task;
        if (task.retries == 0) return false;
        const std::lock_guard held(mutex_);
        if (broken_ || gives_up_ || task.stop_requested.load(std::memory_order_seq_cst))
            return false;
        --task.retries;
        task.last_error = error;
        task.last_outcome = outcome;
        ledger().retry();
        const Deadline due = deadline_after(task.retry_delay);
        task.retry_delay = retry_delay(task.retry_delay, 2);
        dispatcher_.add(std::move(handle), due.value_or((Clock::time_point::max)()));
        dispatcher_.look_at_time(Clock::now());
        ask_for_manager();
        return true;
    }

    /// Requires: `begin_cancel` was called under `mutex_`.
    void cancel(const TaskHandle& handle) noexcept {
        if (handle.task->call.bytes != 0) free_record(std::exchange(handle.task->call, {}));
        Continuation* const callbacks = handle.state->publish(Phase::cancelled);
        wake_leader(*handle.state);
        finish_cancelled(*handle.state, callbacks);
    }

    /// The ledger's cell of whoever holds `receiving_`.
    LedgerCell cell_;
    mutable std::mutex mutex_;
    std::mutex receiving_;
    PoolMemory memory_;
    ModuleTable modules_{memory_};
    os::Bell bell_;
    os::Bell leader_bell_;
    Dispatcher dispatcher_;
    CallbackThread callbacks_;
    MakeError broken_;       // Set when the pool is broken.
    bool gives_up_ = false;  // No task is tried again.
    bool started_ = false;

  private:
    static constexpr std::size_t batch = 64;

    /// Takes a task away from wherever it is, with its worker's life if need be. False when that
    /// could take another task along: then it is alone with its worker next time.
    bool take_to_kill(RemoteTask& task, TaskHandle& handle) noexcept {
        const std::lock_guard held(mutex_);
        handle = dispatcher_.withdraw(task);
        if (!handle.task && task.place == RemoteTask::Place::handed_out) {
            WorkerHandle& worker = *task.worker;
            if (!worker.isolated) return dispatcher_.isolate(worker), false;
            task.count_attempt(worker.began(), cell_);
            handle = worker.take(task.number);
            end(worker);
        }
        if (handle.task) handle.begin_cancel();
        dispatch();
        return true;
    }

    /// A task's outcome is published: the leader may be waiting for it.
    void wake_leader(const StateBase& task) noexcept {
        if (led_.load(std::memory_order_seq_cst) == &task) leader_bell_.ring();
    }

    /// Waits for a task at the leader's bell, receiving what comes for all. Requires: `leading_`.
    bool lead(StateBase& task, const Deadline& deadline) noexcept {
        PoolPage& page = memory_.page();
        led_.exchange(&task, std::memory_order_seq_cst);
        page.leader.store(1, std::memory_order_seq_cst);
        while (!task.done() && !expired(deadline)) {
            try_receive();
            // Either we see the outcome, or who settles it sees us and rings.
            if (task.done()) break;
            os::Watch watch;
            watch.add(leader_bell_.fd());
            watch.wait(deadline);
            const Receiver awake(*this);
            leader_bell_.clear();
            try_receive();
        }
        const Receiver awake(*this);  // Its end looks once more: the next ring is the manager's.
        page.leader.store(0, std::memory_order_seq_cst);
        led_.store(nullptr, std::memory_order_seq_cst);
        return task.done();
    }

    bool receive_from(WorkerHandle& worker) noexcept {
        if (worker.life == WorkerHandle::Life::ended || !worker.has_results()) return false;
        received_.clear();
        try {
            while (received_.size() < batch) {
                std::optional<ReceivedResult> result = worker.next_result();
                if (!result) break;
                received_.push_back(std::move(*result));
            }
        } catch (const CorruptWorker&) {
            worker.failure = "it had overwritten the memory it shares with its parent";
            const std::lock_guard held(mutex_);
            worker.kill();
        }
        if (received_.empty()) return false;
        {
            const std::lock_guard held(mutex_);
            for (ReceivedResult& result : received_) {
                result.handle = worker.take(result.header.number);
                worker.count(result.header);
            }
            worker.stuck = worker.isolated = false;
            worker.quit_if_spent();
            dispatcher_.take_surplus(worker);
            dispatcher_.take_from_stuck(Clock::now());
            dispatch();
        }
        for (ReceivedResult& result : received_)
            if (result.handle.task) deliver(std::move(result));
        worker.finish_receiving(received_);
        return true;
    }

    void deliver(ReceivedResult result) noexcept {
        RemoteTask& task = *result.handle.task;
        task.count_attempt(result.header.began_ns, result.header.ended_ns, cell_);
        std::exception_ptr error;
        try {
            if (!result.failed()) {
                task.keep_value(result.bytes);
                return settle(std::move(result.handle), Outcome::completed, cell_);
            }
            error = decode_exception(result.bytes);
        } catch (...) {
            error = std::current_exception();
        }
        if (retry(result.handle, error, Outcome::failed)) return;
        task.keep_error(std::move(error));
        settle(std::move(result.handle), Outcome::failed, cell_);
    }

    std::vector<ReceivedResult> received_;
    std::atomic<std::thread::id> receiver_{};
    std::atomic<bool> look_again_{false};
    std::mutex leading_;
    std::atomic<StateBase*> led_{nullptr};  // Who waits for it sleeps at leader_bell_.
};

}  // namespace muster::detail
