// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <muster/detail/process/waiting_tasks.hpp>
#include <muster/detail/process/worker_handle.hpp>

namespace muster::detail {

/// Which task waits, and which is with which worker. The only one who hands tasks out.
///
/// A worker gets as many tasks ahead as it does in about 100 us, so that it need not wait for the
/// next, and at least one; what it has not begun is taken back for a worker that has nothing to do.
///
/// Thread safety: none; the engine's lock guards it.
class Dispatcher {
  public:
    using Workers = std::vector<std::unique_ptr<WorkerHandle>>;

    Workers workers;

    /// The first moment at which somebody has to `look_at_time`.
    Deadline limit;

    /// What orders tasks of one priority: each new one gets a higher number.
    std::uint64_t next_id() noexcept { return ++last_id_; }

    /// Takes a task, be it new or one that was handed out before.
    void add(TaskHandle handle) { waiting_.add(std::move(handle)); }

    /// Takes a task that is not to be handed out before `due`.
    void add(TaskHandle handle, Clock::time_point due) {
        handle.task->place = RemoteTask::Place::delayed;
        delayed_.emplace(due, std::move(handle));
        limit = earlier(limit, due);
    }

    /// Hands out what waits to the workers that have room, the least loaded first.
    void dispatch() {
        while (!waiting_.empty()) {
            make_way_for(waiting_.highest());
            WorkerHandle* const worker = least_loaded();
            if (!worker || !let_higher_go_first(*worker)) return;
            hand_out(*worker, waiting_.pop());
        }
        for (const auto& worker : workers)
            if (worker->life == WorkerHandle::Life::ready && worker->in_flight == 0)
                take_from_others(*worker);
    }

    /// Takes back what lies behind a task that takes long. Until that one has ended its worker gets
    /// no other.
    void take_from_stuck(Clock::time_point now) {
        for (const auto& worker : workers) {
            if (worker->stuck || worker->in_flight < 2 || !worker->runs_since_before(now - ahead))
                continue;
            worker->stuck = true;
            recall_all(*worker);
        }
    }

    /// Takes back what was handed to a worker whose tasks take longer than they did.
    void take_surplus(WorkerHandle& worker) {
        const std::size_t enough = 2 * depth(worker);
        if (worker.in_flight <= enough) return;
        std::size_t surplus = worker.in_flight - enough;
        worker.recall_if([&](const RemoteTask&) { return surplus != 0; },
                         [&](TaskHandle handle) {
                             add(std::move(handle));
                             --surplus;
                         });
    }

    /// Leaves a worker with nothing but the task that it runs.
    void isolate(WorkerHandle& worker) {
        worker.stuck = worker.isolated = true;
        recall_all(worker);
    }

    /// Dispatches what has waited for its time, and finds `limit` anew.
    void look_at_time(Clock::time_point now) {
        limit.reset();
        while (!delayed_.empty() && delayed_.begin()->first <= now) {
            TaskHandle due = std::move(delayed_.begin()->second);
            delayed_.erase(delayed_.begin());
            add(std::move(due));
        }
        if (!delayed_.empty()) limit = delayed_.begin()->first;
        dispatch();
        for (const auto& worker : workers)
            if (!worker->killed && worker->life != WorkerHandle::Life::ended)
                limit = earlier(limit, worker->next_limit(now));
    }

    /// Takes a task that has not begun out of its place. Empty when it has.
    TaskHandle withdraw(RemoteTask& task) {
        switch (task.place) {
            case RemoteTask::Place::handed_out: {
                WorkerHandle& worker = *task.worker;
                TaskHandle handle = worker.recall(task.number);
                worker.quit_if_spent();
                return handle;
            }
            case RemoteTask::Place::delayed: {
                const auto entry =
                    std::find_if(delayed_.begin(), delayed_.end(),
                                 [&](const auto& each) { return each.second.task == &task; });
                TaskHandle handle = std::move(entry->second);
                delayed_.erase(entry);
                task.place = RemoteTask::Place::nowhere;
                return handle;
            }
            case RemoteTask::Place::waiting:
                return waiting_.withdraw(task);
            case RemoteTask::Place::nowhere:
                break;
        }
        return {};
    }

    /// Takes all tasks that have not begun.
    std::vector<TaskHandle> withdraw_all() {
        std::vector<TaskHandle> all;
        while (!waiting_.empty()) all.push_back(waiting_.pop());
        for (auto& [due, handle] : delayed_) {
            handle.task->place = RemoteTask::Place::nowhere;
            all.push_back(std::move(handle));
        }
        delayed_.clear();
        for (const auto& worker : workers)
            worker->recall_if([](const RemoteTask&) { return true; },
                              [&](TaskHandle handle) { all.push_back(std::move(handle)); });
        return all;
    }

    /// Takes back what a worker has not begun: others will run it.
    void recall_all(WorkerHandle& worker) {
        worker.recall_if([](const RemoteTask&) { return true; },
                         [this](TaskHandle handle) { add(std::move(handle)); });
    }

    /// Has workers go until no more than `most` are left: idle ones, then those with least to do.
    void retire_surplus(std::size_t most) {
        while (live() > most) {
            WorkerHandle* best = nullptr;
            for (const auto& worker : workers)
                if (worker->life == WorkerHandle::Life::ready &&
                    (!best || worker->in_flight < best->in_flight))
                    best = worker.get();
            if (!best) return;  // The rest is starting, and is looked at again when it is there.
            recall_all(*best);
            best->life = WorkerHandle::Life::retiring;
            best->quit_if_spent();
        }
    }

    /// Tasks that wait for nothing but a worker, or are with one.
    [[nodiscard]] std::size_t outstanding() const noexcept {
        std::size_t count = waiting_.size();
        for (const auto& worker : workers) count += worker->in_flight;
        return count;
    }
    /// Workers that run or will, those being ended not counted.
    [[nodiscard]] std::size_t live() const noexcept {
        return static_cast<std::size_t>(
            std::count_if(workers.begin(), workers.end(), [](const auto& worker) {
                return worker->life == WorkerHandle::Life::starting ||
                       worker->life == WorkerHandle::Life::ready;
            }));
    }

    /// No worker is there, not even one that is on its way out.
    [[nodiscard]] bool nobody_left() const noexcept {
        return std::all_of(workers.begin(), workers.end(), [](const auto& worker) {
            return worker->life == WorkerHandle::Life::ended;
        });
    }

  private:
    /// How much work a worker has before it.
    static constexpr std::chrono::microseconds ahead{100};

    static std::size_t depth(const WorkerHandle& worker) noexcept {
        if (worker.stuck) return 1;
        // Half a microsecond for what a task costs beside its own time.
        const double tasks =
            std::chrono::duration<double, std::nano>(ahead).count() / (worker.task_ns + 500);
        return worker.has_worked
                   ? std::clamp<std::size_t>(static_cast<std::size_t>(tasks), 2, ring_slots)
                   : 2;
    }

    [[nodiscard]] WorkerHandle* least_loaded() const noexcept {
        WorkerHandle* best = nullptr;
        for (const auto& worker : workers)
            if (worker->life == WorkerHandle::Life::ready && worker->has_room() &&
                worker->in_flight < depth(*worker) &&
                (!best || worker->in_flight < best->in_flight))
                best = worker.get();
        return best;
    }

    void hand_out(WorkerHandle& worker, TaskHandle handle) {
        const RemoteTask& task = *handle.task;
        if (!worker.hand_out(handle)) return add(std::move(handle));
        lowest_handed_out_ = std::min(lowest_handed_out_, task.priority);
        if (task.timeout) limit = earlier(limit, deadline_after(*task.timeout));
        worker.wake();
    }

    /// What was handed out, but has not begun, does not go before a task of this priority, which in
    /// turn is not put behind a long one.
    void make_way_for(int priority) {
        if (priority <= lowest_handed_out_) return;
        lowest_handed_out_ = priority;  // What is left below has begun.
        for (const auto& worker : workers)
            worker->recall_if([&](const RemoteTask& task) { return task.priority < priority; },
                              [this](TaskHandle handle) { add(std::move(handle)); });
        const Clock::time_point now = Clock::now();
        for (const auto& worker : workers)
            worker->stuck = worker->stuck || worker->runs_since_before(now - ahead);
    }

    /// What lies unbegun behind other tasks is of one priority, and what waits goes to `next` only if
    /// that is as high, or nothing lies there: whoever is free first begins the highest. An idle
    /// worker gets what lies behind others. False when nothing is to be handed out now.
    bool let_higher_go_first(const WorkerHandle& next) {
        if (waiting_.highest() >= lowest_handed_out_) return true;
        const bool idle = next.in_flight == 0;
        for (const auto& worker : workers) {
            if (worker->in_flight < 2) continue;
            if (!idle) return false;
            recall_all(*worker);
        }
        return true;
    }

    /// A task must not be stuck behind a long one while this worker has nothing to do.
    void take_from_others(WorkerHandle& idle) {
        if (!idle.has_room()) return;
        WorkerHandle* richest = nullptr;
        for (const auto& worker : workers)
            if (worker->in_flight > 1 && (!richest || worker->in_flight > richest->in_flight))
                richest = worker.get();
        if (!richest) return;
        // All, so that the oldest go first, and then in turns to who has less to do.
        recall_all(*richest);
        while (WorkerHandle* const worker = waiting_.empty() ? nullptr : least_loaded())
            hand_out(*worker, waiting_.pop());
    }

    WaitingTasks waiting_;
    std::multimap<Clock::time_point, TaskHandle> delayed_;
    std::uint64_t last_id_ = 0;
    int lowest_handed_out_ = (std::numeric_limits<int>::max)();
};

}  // namespace muster::detail
