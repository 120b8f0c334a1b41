// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <muster/detail/exit_drain.hpp>
#include <muster/detail/process/process_manager.hpp>
#include <muster/detail/start_thread.hpp>
#include <muster/process_pool_options.hpp>

namespace muster::detail {

/// What is behind a `ProcessPoolExecutor`: its life from the first task to the end.
///
/// | thread          | does                                                                     |
/// |-----------------|--------------------------------------------------------------------------|
/// | who submits     | encodes the task, hands it to a worker that has room                     |
/// | who waits       | receives results itself for a few microseconds, then sleeps              |
/// | manager         | receives results, starts workers, notices their deaths; it starts them   |
/// |                 | all, because where the system ends children with the thread that made    |
/// |                 | them, that thread must live as long as they may                          |
/// | callback thread | runs callbacks; exists once there is one                                 |
class ProcessEngine : public ProcessManager {
  public:
    explicit ProcessEngine(ProcessPoolOptions&& options)
        : ProcessManager(options), initializer_{std::move(options.initializer)} {}

    virtual void resize(std::size_t max_workers) {
        throw_if_unusable();
        const std::lock_guard held(mutex_);
        max_workers_.store(checked_workers(max_workers), std::memory_order_relaxed);
        level_ = std::min(level_, max_workers);
        failures_ = 0;  // Where no more could be started, it is tried again.
        dispatcher_.retire_surplus(max_workers);
        dispatch();
    }

    /// Ends all workers now, politely or not, and with them the pool. Whoever is deaf to politeness
    /// is killed.
    virtual void end_workers(bool politely) {
        if (inherited()) return;
        close();
        break_pool(
            [politely] {
                return std::make_exception_ptr(
                    BrokenProcessPool(std::string("muster: the process pool was ended by ") +
                                      (politely ? "terminate_workers()" : "kill_workers()") +
                                      " before this task began; make a new pool"));
            },
            Running::ends_with_its_worker);
        {
            const std::unique_lock receiving = lock_receiving();
            const std::lock_guard held(mutex_);
            for (const auto& worker : dispatcher_.workers) {
                if (worker->life == Life::ended) continue;
                if (worker->life == Life::starting || !politely)
                    worker->kill();
                else
                    worker->terminate(std::chrono::seconds(1));
                worker->quit();
            }
            bell_.ring();  // There are limits to look at.
        }
        if (!receiving_here()) try_receive();  // Others may have left that to us.
        maybe_quiet();
    }

    virtual void shutdown(bool wait, bool cancel_futures) {
        if (inherited()) return;  // The workers are the other process's.
        close();
        if (cancel_futures) {
            std::vector<TaskHandle> all;
            {
                const std::lock_guard held(mutex_);
                gives_up_ = true;
                all = dispatcher_.withdraw_all();
                for (const TaskHandle& handle : all) handle.begin_cancel();
            }
            for (const TaskHandle& handle : all) cancel(handle);
        }
        maybe_quiet();
        // A callback that shuts its own pool down would wait for itself.
        if (!wait || tasks_here() != 0) return;
        wait_idle(std::nullopt);
        join();
    }

    void retire() override {
        if (inherited()) return;  // Nothing of it can be used or freed here: its locks may be held.
        ExitDrain::withdraw(*this);
        shutdown(true, false);
        if (tasks_here() != 0) wait_idle(std::nullopt);  // But for the callback's own task.
        join();
        if (!started_) launcher_.reset();  // Else the manager does that.
        // Of tasks that ended in time, nothing runs or is destroyed after the pool.
        if (tasks_here() == 0) callbacks_.end();
        release_executor();
    }

    bool wait_idle(const Deadline& deadline) override {
        // A result that is decoded may end the program, which then waits for this pool.
        if (inherited() || receiving_here()) return true;
        callbacks_.step_aside();
        return TaskOwner::wait_idle(deadline);
    }

    Gate* gate_here() noexcept override {
        return !inherited() && callbacks_.here() ? &callbacks_.arrivals() : nullptr;
    }
    void look_again() noexcept override { callbacks_.arrivals().notify(); }
    bool run_callbacks_here(const StateBase& task) noexcept override {
        return !inherited() && callbacks_.run_here(task);
    }

    void throw_if_unusable() const override {
        if (inherited())
            throw InvalidStateError(
                "muster: this process pool belongs to the process that made it, of which this one "
                "is a fork; make a new pool here");
    }
    [[nodiscard]] bool inherited() const noexcept override {
        return generation_ != os::fork_generation();
    }

    [[nodiscard]] ProcessPoolStats stats() const {
        if (inherited()) return {TaskOwner::stats(), 0, 0, {}};
        const std::lock_guard held(mutex_);
        ProcessPoolStats all{TaskOwner::stats(), crashed_, respawned_, {}};
        for (const auto& worker : dispatcher_.workers) {
            if (worker->life == Life::ended) continue;
            all.pids.push_back(static_cast<int>(worker->process.pid()));
            const RemoteTask* const task = worker->running();
            if (!task || all.pending == 0) continue;
            ++all.running;
            --all.pending;
            if (!task->name.empty()) all.running_names.push_back(task->name);
        }
        return all;
    }

  protected:
    ~ProcessEngine() override = default;

    void quiet() noexcept override {
        quitting_.store(true, std::memory_order_seq_cst);
        bell_.ring();
    }

    void prepare() override {
        // No std::call_once: where an exception leaves it, some systems never let the next one in.
        if (initializer_encoded_.load(std::memory_order_acquire)) return;  // Pairs with the store.
        const std::lock_guard held(initializer_lock_);
        if (initializer_encoded_.load(std::memory_order_relaxed)) return;
        initializer_call_ = initializer_.encode(memory_, modules_);
        if (initializer_call_.bytes != 0) memory_.page().initializer = initializer_call_.record;
        initializer_encoded_.store(true, std::memory_order_release);
    }

    void start(const void* executor) override {
        // A worker that is not past its guard would start workers of its own, and so on for ever.
        if (inert()) {
            send_to_parent(Packet::Kind::unguarded);
            os::end_process(1);
        }
        if (!launcher_) launcher_ = make_launcher(options_);  // It was made before the guard.
        retain();
        try {
            manager_ = start_thread([this] {
                manage();
                release();
            });
        } catch (...) {
            release();
            throw;
        }
        ExitDrain::enlist(*this, executor);
    }

  private:
    void join() noexcept {
        const std::lock_guard held(join_lock_);
        if (!manager_.joinable()) return;
        // The manager waits for the end of all tasks, so a callback of one cannot wait for it; nor
        // can whoever decodes a result, be it the manager itself.
        tasks_here() != 0 ? manager_.detach() : manager_.join();
    }

    const ProcessInitializer initializer_;
    std::mutex initializer_lock_;
    std::atomic<bool> initializer_encoded_{false};
    EncodedCall initializer_call_;
    const std::uint64_t generation_ = os::fork_generation();
    std::mutex join_lock_;
    std::thread manager_;
};

#ifdef MUSTER_SEPARATE_COMPILATION
ProcessEngine& make_engine(ProcessPoolOptions&& options);  // In <muster/src.hpp>.
#else
inline ProcessEngine& make_engine(ProcessPoolOptions&& options) {
    return *new ProcessEngine(std::move(options));
}
#endif

}  // namespace muster::detail
