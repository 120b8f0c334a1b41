// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <utility>

#include <muster/detail/process/received_result.hpp>
#include <muster/detail/process/remote_task.hpp>

namespace muster::detail {

/// The tasks that wait for nothing but a worker: higher priorities first, equals by their id.
///
/// What is withdrawn leaves an empty entry, so that nothing has to be moved; when these are more
/// than half of a priority's entries, they go. Complexity: `pop` and `withdraw` O(log n) amortised,
/// `add` as well for tasks that are new.
///
/// Thread safety: none.
class WaitingTasks {
  public:
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// What memory is held for: at most one more than twice the tasks.
    [[nodiscard]] std::size_t entries() const noexcept {
        std::size_t count = 0;
        for (const auto& [priority, level] : levels_)
            count += std::max<std::size_t>(level.tasks.size(), 1);
        return count;
    }

    /// The priority of the first. Requires: not empty.
    [[nodiscard]] int highest() const noexcept { return levels_.begin()->first; }

    void add(TaskHandle handle) {
        RemoteTask& task = *handle.task;
        // The level kept for the next task is of no use to this one.
        if (size_ == 0 && !levels_.empty() && highest() != task.priority) levels_.clear();
        Tasks& tasks = levels_[task.priority].tasks;
        // A new one is the last, one that was handed out is mostly the first.
        auto place = tasks.end();
        if (!tasks.empty() && tasks.back().id > task.id) place = find(tasks, task.id);
        tasks.insert(place, {task.id, std::move(handle)});
        task.place = RemoteTask::Place::waiting;
        ++size_;
    }

    /// Takes the first. Requires: not empty.
    TaskHandle pop() {
        const auto level = levels_.begin();
        TaskHandle handle = std::move(level->second.tasks.front().handle);
        level->second.tasks.pop_front();
        taken(handle, level);
        return handle;
    }

    /// Takes a task out of its place. Requires: it waits here.
    TaskHandle withdraw(const RemoteTask& task) {
        const auto level = levels_.find(task.priority);
        TaskHandle handle = std::exchange(find(level->second.tasks, task.id)->handle, {});
        ++level->second.withdrawn;
        taken(handle, level);
        return handle;
    }

  private:
    struct Entry {
        std::uint64_t id = 0;
        TaskHandle handle;  // Empty once it was withdrawn.

        [[nodiscard]] bool withdrawn() const noexcept { return handle.task == nullptr; }
    };
    using Tasks = std::deque<Entry>;  // By id. The first is never a withdrawn one.
    struct Level {
        Tasks tasks;
        std::size_t withdrawn = 0;
    };
    using Levels = std::map<int, Level, std::greater<>>;

    /// The first entry that is not before `id`.
    static Tasks::iterator find(Tasks& tasks, std::uint64_t id) {
        return std::lower_bound(
            tasks.begin(), tasks.end(), id,
            [](const Entry& entry, std::uint64_t sought) { return entry.id < sought; });
    }

    void taken(const TaskHandle& handle, Levels::iterator place) {
        handle.task->place = RemoteTask::Place::nowhere;
        --size_;
        auto& [tasks, withdrawn] = place->second;
        if (withdrawn > tasks.size() / 2) {
            std::erase_if(tasks, [](const Entry& entry) { return entry.withdrawn(); });
            withdrawn = 0;
        }
        for (; withdrawn != 0 && tasks.front().withdrawn(); --withdrawn) tasks.pop_front();
        // The last level stays: mostly the next task is of the same priority.
        if (tasks.empty() && levels_.size() > 1) levels_.erase(place);
    }

    Levels levels_;         // None is empty, unless it is the only one.
    std::size_t size_ = 0;  // Without the withdrawn ones.
};

}  // namespace muster::detail
