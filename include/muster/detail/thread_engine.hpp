// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include <muster/detail/exit_drain.hpp>
#include <muster/detail/idle_workers.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/ready_queue.hpp>
#include <muster/detail/task_owner.hpp>
#include <muster/detail/thread_worker.hpp>
#include <muster/detail/thread_workers.hpp>
#include <muster/thread_pool_options.hpp>

namespace muster::detail {

/// What is behind a `ThreadPoolExecutor`: its threads, and what they have to run.
///
/// A worker looks for work in this order: urgent, its own queue or the shared one (whichever has the
/// older task), other workers' queues, low priority. One that finds none *searches* for a few
/// microseconds and then sleeps. At most one searches, and nobody is woken while it does; when it
/// finds work and there is more, it wakes or starts the next. So a burst of submits costs one wake.
class ThreadEngine : public TaskOwner {
  public:
    explicit ThreadEngine(ThreadPoolOptions&& options)
        : TaskOwner(options.max_pending, std::move(options.on_error)),
          name_prefix_{options.thread_name_prefix.empty() ? default_name()
                                                          : std::move(options.thread_name_prefix)},
          initializer_{std::move(options.initializer)},
          workers_{ledger(), options.max_workers} {}

    /// Queues a runnable. **Throws** `std::system_error` when not a single thread can be started.
    virtual void enqueue(Runnable& runnable, const void* executor) {
        if (workers_.live() == 0) start_first(executor);
        requeue(runnable, false);
    }

    [[nodiscard]] bool requeues() const noexcept override { return true; }

    void requeue(Runnable& runnable, bool queued) noexcept override {
        if (!queued) {
            ThreadWorker* const me = runnable.priority == 0 ? current_worker() : nullptr;
            runnable.from_inside = me != nullptr;
            me ? me->local.push(runnable) : ready_.push(runnable);
        }
        arrivals_.notify();
        signal_work();
    }

    [[nodiscard]] std::size_t max_workers() const noexcept { return workers_.max(); }

    virtual void resize(std::size_t max_workers) {
        throw_if_unusable();
        workers_.resize(max_workers);
        const std::size_t live = workers_.live();
        if (live > max_workers)
            idle_workers_.wake(live - max_workers);  // They find that they are too many, and end.
        else if (work_available())
            signal_work();
    }

    virtual void shutdown(bool wait, bool cancel_futures) {
        if (inherited()) return;  // The workers are the other process's.
        close();
        if (cancel_futures) {
            cancel_retries();
            cancel_queued();
        }
        maybe_quiet();
        // A task that shuts its own pool down would wait for itself.
        if (!wait || tasks_here() != 0) return;
        TaskOwner::wait_idle(std::nullopt);
        join();
    }

    /// The executor is being destroyed.
    void retire() override {
        if (inherited()) return;  // Nothing of it can be used or freed here: its locks may be held.
        ExitDrain::withdraw(*this);
        shutdown(true, false);
        if (tasks_here() != 0)
            wait_idle(std::nullopt);  // By its own task, which is not waited for.
        join();
        release_executor();
    }

    bool run_here(Runnable& runnable) noexcept override {
        ThreadWorker* const me = current_worker();
        if (!me) return false;
        const bool ahead = !me->local.pop_if_newest(runnable);
        run_nested(*me, runnable, ahead);
        return true;
    }

    Gate* gate_here() noexcept override { return current_worker() ? &arrivals_ : nullptr; }
    void look_again() noexcept override { arrivals_.notify(); }

    bool wait_idle(const Deadline& deadline) override {
        if (inherited()) return true;
        ThreadWorker* const me = current_worker();
        if (!me) return TaskOwner::wait_idle(deadline);
        // All other tasks are what this one waits for, so this worker may run them.
        const auto run_until_idle = [&] {
            while (!idle(true)) {
                if (expired(deadline)) return false;
                Runnable* const task = next(*me);
                if (!task) return false;
                run_nested(*me, *task);
            }
            return true;
        };
        return wait_idle_among(run_until_idle, arrivals_, deadline);
    }

    void out_of_work(LedgerCell& cell) noexcept override {
        TaskOwner::out_of_work(cell);
        if (arrivals_.watched() && idle(true)) arrivals_.notify();
    }

    void throw_if_unusable() const override {
        if (inherited())
            throw InvalidStateError(
                "muster: this thread pool belongs to the process that made it, of which this one "
                "is a fork; make a new pool here");
    }

    [[nodiscard]] bool inherited() const noexcept override {
        return generation_ != os::fork_generation();
    }

    [[nodiscard]] std::exception_ptr broken() const noexcept override {
        return is_broken_.load(std::memory_order_acquire) ? broken_ : nullptr;
    }

  protected:
    ~ThreadEngine() override {
        // What is left was cancelled: only the queues' references remain.
        while (Runnable* task = ready_.pop_any()) task->abandon();
        for (std::size_t i = 0; i < workers_.size(); ++i)
            while (Runnable* task = workers_[i].local.pop()) task->abandon();
    }

    void quiet() noexcept override {
        quitting_.store(true, std::memory_order_seq_cst);
        idle_workers_.wake(ThreadWorkers::most);
    }

  private:
    static std::string default_name() {
        static std::atomic<unsigned> pools{0};
        return "ThreadPoolExecutor-" + std::to_string(pools.fetch_add(1));
    }

    // --- threads

    void start_first(const void* executor) {
        if (start_worker_if([this] { return workers_.live() == 0; }))
            ExitDrain::enlist(*this, executor);
    }

    void start_another() noexcept {
        const auto wanted = [this] {
            // A worker for each task, so one of them is between two tasks and about to look for work.
            if (ledger().outstanding() <= workers_.live()) return false;
            return !quitting_.load() && !idle_workers_.any_searching();
        };
        try {
            (void)start_worker_if(wanted);
        } catch (...) {  // There are workers already: fewer than wished for, but the tasks run.
        }
    }

    template <typename Wanted>
    bool start_worker_if(Wanted wanted) {
        bool counted = false;
        const auto count = [&] {
            if (!wanted()) return false;
            idle_workers_.begin_search();
            retain();
            return counted = true;
        };
        try {
            return workers_.start_if(count, [this](ThreadWorker& worker) {
                serve(worker);
                worker.ended.store(true, std::memory_order_release);
                release();
            });
        } catch (...) {
            if (counted) {
                release();
                idle_workers_.end_search();
                // Who relied on that search woke nobody.
                if (work_available()) idle_workers_.wake_one();
            }
            throw;
        }
    }

    void join() noexcept {
        // The pool's last owner may be one of its own tasks: the workers then end after that.
        tasks_here() != 0 ? workers_.detach() : workers_.join();
    }

    // --- a worker's life

    void serve(ThreadWorker& me) noexcept {
        FrameGuard frame(*this, 0, &me);
        os::set_thread_name(name_prefix_ + "_" + std::to_string(me.index));
        bool searching = true;  // Whoever started or woke this worker counted it.
        if (initializer_) {
            // Which may take long: others are to be woken and started meanwhile.
            idle_workers_.end_search();
            if (work_available()) signal_work();
            initialize();
            searching = idle_workers_.try_begin_search();
        }
        RunContext context{me.cell, Clock::now()};
        while (!leave_if_surplus(me, searching)) {
            Runnable* task = next(me);
            bool quits = false;
            if (!task) {
                // Searching before anybody learns that the pool is idle: who then submits finds this
                // worker, and starts no other.
                searching = searching || idle_workers_.try_begin_search();
                out_of_work(me.cell);
                if (searching) spin_until([&] { return work_or_quit(); });
                quits = quitting_.load(std::memory_order_seq_cst);  // Then nothing more is queued.
                task = next(me);
            }
            if (searching) context.now = Clock::now();
            if (task) {
                if (std::exchange(searching, false)) {
                    idle_workers_.end_search();
                    if (work_available()) signal_work();
                }
                (*frame).tasks = 1;
                me.began_ns.store(nanoseconds(context.now), std::memory_order_relaxed);
                task->run(context);
                (*frame).tasks = 0;
            } else if (quits) {
                return;
            } else {
                searching = idle_workers_.sleep(me, searching, [&] { return work_or_quit(); });
                context.now = Clock::now();
            }
        }
    }

    /// Ends this worker if the pool has more than it should have; others go on with what it has.
    bool leave_if_surplus(ThreadWorker& me, bool searching) noexcept {
        if (!workers_.leave()) return false;
        while (Runnable* task = me.local.pop()) {
            task->from_inside = false;
            ready_.push(*task);
        }
        if (searching) idle_workers_.end_search();
        out_of_work(me.cell);
        arrivals_.notify();
        if (work_available()) signal_work();
        return true;
    }

    void initialize() noexcept {
        try {
            initializer_();
        } catch (...) {
            {
                const std::lock_guard held(broken_lock_);
                if (is_broken_.load(std::memory_order_relaxed)) return;
                broken_ = std::make_exception_ptr(BrokenThreadPool(
                    "muster: the thread pool is broken; mend what follows, and make "
                    "another: its initializer threw: " +
                    describe(std::current_exception())));
                is_broken_.store(true, std::memory_order_release);
            }
            hasten_retries();
        }
    }

    void run_nested(ThreadWorker& me, Runnable& runnable, bool ahead = false) noexcept {
        const FrameGuard frame(*this, 1, &me);
        RunContext context{me.cell, Clock::now()};
        ahead ? runnable.run_ahead(context) : runnable.run(context);
    }

    Runnable* next(ThreadWorker& me) noexcept {
        constexpr std::int64_t any_age = std::numeric_limits<std::int64_t>::max();
        if (ready_.urgent())
            if (Runnable* task = ready_.pop(me.local, 0, std::numeric_limits<std::int64_t>::min()))
                return task;
        std::int64_t age = 0;
        if (!ready_.empty() && me.local.front_from_inside(age))
            if (Runnable* task = ready_.pop(me.local, 0, age)) return task;
        if (Runnable* task = me.local.pop()) return task;
        if (!ready_.empty())
            if (Runnable* task = rescue(me)) return task;
        if (Runnable* task = ready_.pop(me.local, 2 * workers_.max(), any_age)) return task;
        if (Runnable* task = steal(me)) return task;
        return ready_.pop_any();
    }

    /// What another worker took along before it began a long task is older than all that still
    /// waits, and goes first.
    Runnable* rescue(ThreadWorker& me) noexcept {
        constexpr std::int64_t long_ns = 100'000;
        const std::int64_t now = me.began_ns.load(std::memory_order_relaxed);
        const std::size_t count = workers_.size();
        for (std::size_t i = 1; i < count; ++i) {
            ThreadWorker& other = workers_[(me.index + i) % count];
            if (other.local.empty() ||
                now - other.began_ns.load(std::memory_order_relaxed) < long_ns)
                continue;
            if (Runnable* task = steal_from(other, me)) return task;
        }
        return nullptr;
    }

    Runnable* steal(ThreadWorker& me) noexcept {
        const std::size_t count = workers_.size();
        for (std::size_t i = 1; i < count; ++i)
            if (Runnable* task = steal_from(workers_[(me.index + i) % count], me)) return task;
        return nullptr;
    }

    Runnable* steal_from(ThreadWorker& other, ThreadWorker& me) noexcept {
        Runnable* const task = other.local.steal_into(me.local);
        // Who looked for work on the way found neither queue to have the rest.
        if (task && !me.local.empty()) signal_work();
        return task;
    }

    // --- waiting for work

    [[nodiscard]] bool work_available() const noexcept {
        if (!ready_.empty()) return true;
        const std::size_t count = workers_.size();
        for (std::size_t i = 0; i < count; ++i)
            if (!workers_[i].local.empty()) return true;
        return false;
    }
    [[nodiscard]] bool work_or_quit() const noexcept {
        return work_available() || quitting_.load(std::memory_order_seq_cst) ||
               workers_.live() > workers_.max();
    }

    /// Something was queued. If nobody is looking for it, wakes or starts a worker.
    void signal_work() noexcept {
        if (!idle_workers_.wake_one() && workers_.live() < workers_.max()) start_another();
    }

    void cancel_queued() noexcept {
        // From all queues at once, because a cancelled task's callbacks may submit nothing any more
        // but may cancel others.
        while (Runnable* task = ready_.pop_any()) task->abandon();
        const std::size_t count = workers_.size();
        for (std::size_t i = 0; i < count; ++i)
            while (Runnable* task = workers_[i].local.pop()) task->abandon();
    }

    /// This thread's worker, if it is one of this pool.
    [[nodiscard]] ThreadWorker* current_worker() const noexcept {
        for (const Frame* frame = frames(); frame; frame = frame->below)
            if (frame->owner == this && frame->worker)
                return static_cast<ThreadWorker*>(frame->worker);
        return nullptr;
    }

    const std::string name_prefix_;
    const ThreadInitializer initializer_;
    const std::uint64_t generation_ = os::fork_generation();

    ReadyQueue ready_;
    Gate arrivals_;  // Where workers wait that may have to run what is submitted later.

    std::atomic<bool> quitting_{false};
    IdleWorkers idle_workers_;
    ThreadWorkers workers_;

    std::mutex broken_lock_;
    std::atomic<bool> is_broken_{false};
    std::exception_ptr broken_;
};

#ifdef MUSTER_SEPARATE_COMPILATION
ThreadEngine& make_engine(ThreadPoolOptions&& options);  // In <muster/src.hpp>.
#else
inline ThreadEngine& make_engine(ThreadPoolOptions&& options) {
    return *new ThreadEngine(std::move(options));
}
#endif

}  // namespace muster::detail
