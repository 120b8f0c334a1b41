// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

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

    void add(TaskHandle handle) {
        handle.task->place = RemoteTask::Place::waiting;
        waiting_[handle.task->priority].push_back(std::move(handle));
        ++waiting_count_;
    }

    /// Puts a task back before all others of its priority: it was handed out, but never begun.
    void put_back(TaskHandle handle) {
        handle.task->place = RemoteTask::Place::waiting;
        waiting_[handle.task->priority].push_front(std::move(handle));
        ++waiting_count_;
    }

    /// Hands out what waits to the workers that have room, the least loaded first.
    void dispatch() {
        while (waiting_count_ != 0) {
            WorkerHandle* const worker = least_loaded();
            if (!worker) return;
            TaskHandle next = pop();
            if (next.task) worker->hand_out(std::move(next)), worker->wake();
        }
        for (const auto& worker : workers)
            if (worker->life == WorkerHandle::Life::ready && worker->in_flight == 0)
                take_from_others(*worker);
    }

    /// Takes a task out of the waiting ones or back from its worker. Empty when it has begun.
    TaskHandle withdraw(RemoteTask& task) {
        if (task.place == RemoteTask::Place::handed_out) return task.worker->recall(task.number);
        if (task.place != RemoteTask::Place::waiting) return {};
        // Its entry stays where it is and is passed over when its turn comes.
        task.place = RemoteTask::Place::nowhere;
        --waiting_count_;
        return {Ref<StateBase>::share(&task.state()), &task};
    }

    /// Takes all tasks that have not begun.
    std::vector<TaskHandle> withdraw_all() {
        std::vector<TaskHandle> all;
        while (waiting_count_ != 0) all.push_back(pop());
        for (const auto& worker : workers)
            worker->recall_latest(ring_slots,
                                  [&](TaskHandle handle) { all.push_back(std::move(handle)); });
        return all;
    }

    [[nodiscard]] std::size_t outstanding() const noexcept {
        std::size_t count = waiting_count_;
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

  private:
    static std::size_t depth(const WorkerHandle& worker) noexcept {
        constexpr double ahead_ns = 100'000;
        // Half a microsecond for what a task costs beside its own time.
        const double tasks = ahead_ns / (worker.task_ns + 500);
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

    TaskHandle pop() {
        for (auto level = waiting_.begin(); level != waiting_.end();) {
            auto& tasks = level->second;
            while (!tasks.empty()) {
                TaskHandle handle = std::move(tasks.front());
                tasks.pop_front();
                if (handle.task->place != RemoteTask::Place::waiting) continue;  // Cancelled.
                handle.task->place = RemoteTask::Place::nowhere;
                --waiting_count_;
                return handle;
            }
            level = waiting_.erase(level);
        }
        return {};
    }

    /// A task must not be stuck behind a long one while this worker has nothing to do.
    void take_from_others(WorkerHandle& idle) {
        WorkerHandle* richest = nullptr;
        for (const auto& worker : workers)
            if (worker->in_flight > 1 && (!richest || worker->in_flight > richest->in_flight))
                richest = worker.get();
        if (!richest) return;
        std::vector<TaskHandle> taken;
        richest->recall_latest(richest->in_flight / 2,
                               [&](TaskHandle handle) { taken.push_back(std::move(handle)); });
        for (auto handle = taken.rbegin(); handle != taken.rend(); ++handle) {
            if (idle.has_room())
                idle.hand_out(std::move(*handle));
            else
                put_back(std::move(*handle));
        }
        idle.wake();
    }

    std::map<int, std::deque<TaskHandle>, std::greater<>> waiting_;  // Cancelled ones included.
    std::size_t waiting_count_ = 0;                                  // Without those.
};

}  // namespace muster::detail
