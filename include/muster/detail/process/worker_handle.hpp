// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/process/launcher.hpp>
#include <muster/detail/process/pool_memory.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/received_result.hpp>
#include <muster/detail/process/remote_task.hpp>

namespace muster::detail {

/// The parent's end of one worker process: its channel, and which tasks it was handed.
///
/// Thread safety: none. The engine's lock guards the tasks; its receiving lock the results.
struct WorkerHandle {
    /// | life     | gets tasks | counts as a worker | how it goes on                            |
    /// |----------|------------|--------------------|-------------------------------------------|
    /// | starting | no         | yes                | ready, or ended                           |
    /// | ready    | yes        | yes                | retiring, leaving, or ended               |
    /// | retiring | no         | no                 | leaving, once it has no task              |
    /// | leaving  | no         | no                 | ended: it was told to go, or is killed    |
    enum class Life { starting, ready, retiring, leaving, ended };

    /// Starts the process, one of so many. **Throws** what the launcher throws.
    WorkerHandle(PoolMemory& pool, const os::Bell& bell, const os::Bell& leader_bell,
                 Launcher& launcher, std::size_t workers)
        : worker_bytes_{reserved_bytes(workers)},
          ring_block_{pool, sizeof(TaskRing)},
          ring_{*new(pool.place(ring_block_.offset())) TaskRing} {
        const os::Fd memory = os::anonymous_memory("muster-worker", worker_bytes_);
        memory_ = os::Mapping::read_write(memory, 0, worker_bytes_);
        memory_.keep_from_copies();
        auto& page = *new (memory_.data()) WorkerPage;
        introduce_parent(page);
        page.task_ring = ring_block_.offset();
        page.pool_bytes = pool.bytes();
        page.worker_bytes = worker_bytes_;
        auto [ours, theirs] = os::socket_pair();
        lifeline = os::PrivateFd(std::move(ours));
        process = launcher.start(page, {theirs.get(), memory.get(), pool.fd().get(), bell.fd(),
                                        leader_bell.fd(), launcher.family().fd()});
    }
    WorkerHandle(const WorkerHandle&) = delete;
    WorkerHandle& operator=(const WorkerHandle&) = delete;
    ~WorkerHandle() = default;

    [[nodiscard]] WorkerPage& page() const noexcept {
        return *std::launder(reinterpret_cast<WorkerPage*>(memory_.data()));
    }

    [[nodiscard]] bool past_guard() const noexcept {
        return page().guard_passed.load(std::memory_order_seq_cst) != 0;
    }

    // --- handing out

    [[nodiscard]] bool has_room() noexcept {
        drop_passed_holes();
        return tasks_given < most_tasks && (next_hole() != holes_.rend() || head_is_free());
    }

    /// Puts a task into the ring, behind all that it has to do; `wake` makes the worker see it.
    /// False, and the task is the caller's, when there is no room.
    bool hand_out(TaskHandle& handle) noexcept {
        RemoteTask& task = *handle.task;
        if (!fill_hole(handle)) {
            if (!head_is_free()) return false;
            place(head_, handle);
            page().claims[head_ % ring_slots].store(claim_word(head_, Claim::offered),
                                                    std::memory_order_relaxed);
            // seq_cst: publishes the slot, and pairs with the worker's look before it sleeps.
            ring_.head.store(++head_, std::memory_order_seq_cst);
            end_ = head_;
        }
        task.place = RemoteTask::Place::handed_out;
        task.worker = this;
        ++in_flight;
        ++tasks_given;
        if (task.timeout) ++limited_;
        return true;
    }

    void wake() noexcept {
        if (page().asleep.load(std::memory_order_seq_cst) == 0) return;
        page().asleep.store(0, std::memory_order_seq_cst);
        os::wake_one(page().asleep, os::Sharing::processes);
    }

    /// Ends it and all that it started, at once.
    void kill() noexcept {
        killed = true;
        end_limit.reset();
        process.kill_group();
    }

    /// Asks it to end, and gives it so long.
    void terminate(Clock::duration patience) noexcept {
        end_limit = deadline_after(patience);
        process.terminate();
    }

    void quit() noexcept {
        life = Life::leaving;
        ring_.quit.store(1, std::memory_order_seq_cst);
        wake();
    }

    /// Tells it to go, if it was to go after the tasks it has, and has none.
    void quit_if_spent() noexcept {
        if (in_flight != 0) return;
        if (life == Life::retiring || (life == Life::ready && tasks_given >= most_tasks)) quit();
    }

    /// Takes a task back that the worker has not begun. Empty when it has.
    TaskHandle recall(std::uint64_t number) {
        TaskHandle& slot = slots_[number % ring_slots];
        std::uint64_t offered = claim_word(number, Claim::offered);
        if (!slot.task || slot.task->number != number) return {};
        // Before: a hole that is forgotten would be a place lost.
        holes_.insert(std::lower_bound(holes_.begin(), holes_.end(), number, std::greater<>()),
                      number);
        if (!page().claims[number % ring_slots].compare_exchange_strong(
                offered, claim_word(number, Claim::recalled), std::memory_order_seq_cst)) {
            std::erase(holes_, number);
            return {};
        }
        --tasks_given;
        return take(number);
    }

    /// Takes the tasks back that were not begun and that `which` chooses, the latest first.
    template <typename Which, typename Use>
    void recall_if(Which which, Use use) {
        const std::uint64_t oldest = head_ - std::min<std::uint64_t>(head_, ring_slots);
        for (std::uint64_t number = head_; number > oldest; --number) {
            const TaskHandle& slot = slots_[(number - 1) % ring_slots];
            if (!slot.task || slot.task->number != number - 1 || !which(*slot.task)) continue;
            TaskHandle handle = recall(number - 1);
            if (handle.task) use(std::move(handle));
        }
    }

    [[nodiscard]] bool begun(std::uint64_t number) const noexcept {
        return page().claims[number % ring_slots].load(std::memory_order_acquire) ==
               claim_word(number, Claim::begun);
    }
    /// The task that it has begun last; null if there is none whose result was not received.
    [[nodiscard]] const RemoteTask* running() const noexcept {
        const RemoteTask* latest = nullptr;
        for (const TaskHandle& slot : slots_)
            if (slot.task && begun(slot.task->number) &&
                (!latest || latest->number < slot.task->number))
                latest = slot.task;
        return latest;
    }
    [[nodiscard]] bool busy() const noexcept { return running() != nullptr; }

    /// Removes a task from its slot. Empty when there is none of that number.
    TaskHandle take(std::uint64_t number) noexcept {
        TaskHandle& slot = slots_[number % ring_slots];
        if (!slot.task || slot.task->number != number) return {};
        slot.task->place = RemoteTask::Place::nowhere;
        slot.task->worker = nullptr;
        --in_flight;
        if (slot.task->timeout) --limited_;
        return std::exchange(slot, {});
    }

    /// Takes all that is left.
    template <typename Use>
    void take_rest(Use use) {
        for (TaskHandle& slot : slots_)
            if (slot.task) use(take(slot.task->number));
    }

    /// Learns from a result how long its tasks take.
    void count(const ResultHeader& header) noexcept {
        const auto took = static_cast<double>(header.ended_ns - header.began_ns);
        task_ns = has_worked ? task_ns + (took - task_ns) / 8 : took;
        has_worked = true;
    }

    // --- time limits

    /// When the task it runs began; never later than now. Requires: it has begun one.
    [[nodiscard]] Clock::time_point began() const noexcept {
        const Clock::time_point said(std::chrono::duration_cast<Clock::duration>(
            std::chrono::nanoseconds(page().begun_ns.load(std::memory_order_acquire))));
        const Clock::time_point now = Clock::now();
        // Processors' clocks differ by little. What is far ahead would put its time limit off for ever.
        if (said > now + std::chrono::seconds(1)) return {};
        return std::clamp(said, Clock::time_point(), now);
    }

    /// Whether it runs a task that began before `when`.
    [[nodiscard]] bool runs_since_before(Clock::time_point when) const noexcept {
        return busy() && began() < when;  // Of a task that begins now, not of the one before.
    }

    /// The first moment at which one of its tasks can be past its time limit.
    [[nodiscard]] Deadline next_limit(Clock::time_point now) const noexcept {
        // Who looks at a task that has not begun looks again, but not all the time.
        constexpr std::chrono::nanoseconds soon = std::chrono::milliseconds(1);
        Deadline next;
        for (std::size_t i = 0; limited_ != 0 && i < ring_slots; ++i) {
            const RemoteTask* const task = slots_[i].task;
            if (task && task->timeout)
                next = earlier(next, begun(task->number)
                                         ? later_by(began(), *task->timeout)
                                         : later_by(now, std::max(*task->timeout, soon)));
        }
        return next;
    }

    /// The task that it runs and that is past its limit; null if there is none.
    /// Requires: what it had published is received.
    [[nodiscard]] RemoteTask* overdue(Clock::time_point now) const noexcept {
        for (std::size_t i = 0; limited_ != 0 && i < ring_slots; ++i) {
            RemoteTask* const task = slots_[i].task;
            if (!task || !task->timeout || !begun(task->number)) continue;
            const Deadline limit = later_by(began(), *task->timeout);
            if (limit && *limit <= now) return task;
        }
        return nullptr;
    }

    // --- receiving

    [[nodiscard]] bool has_results() const noexcept {
        return page().published.load(std::memory_order_seq_cst) != received_;
    }

    /// The next result, which stays in place until `finish_receiving`. Empty when there is none.
    /// **Throws**: `CorruptWorker`.
    std::optional<ReceivedResult> next_result() {
        const std::uint64_t published = page().published.load(std::memory_order_acquire);
        const std::uint64_t unread = published - received_;
        if (unread > result_ring_bytes || unread < read_ - received_) throw CorruptWorker();
        while (read_ != published) {
            const std::size_t place = read_ % result_ring_bytes;
            const std::size_t to_end = result_ring_bytes - place;
            const std::uint64_t left = published - read_;
            if (to_end < sizeof(ResultHeader)) {
                skip(to_end, left);
                continue;
            }
            ReceivedResult result;
            // Read once: the worker could write here again.
            std::memcpy(&result.header, ring() + place, sizeof result.header);
            const std::size_t whole =
                align_up(sizeof(ResultHeader) + std::size_t{result.header.size}, 16);
            if (whole > to_end || !result.header.timely()) throw CorruptWorker();
            skip(whole, left);
            if (result.header.kind == ResultHeader::Kind::padding) continue;
            result.bytes = {ring() + place + sizeof(ResultHeader), result.header.size};
            if (result.header.kind == ResultHeader::Kind::large_value ||
                result.header.kind == ResultHeader::Kind::large_exception)
                find_large(result);
            return result;
        }
        return std::nullopt;
    }

    /// The results returned so far are read: their room is the worker's again.
    void finish_receiving(std::span<const ReceivedResult> results) noexcept {
        for (const ReceivedResult& result : results)
            if (result.large_slot)
                page().large_in_use[*result.large_slot].store(0, std::memory_order_release);
        received_ = read_;
        page().received.store(received_, std::memory_order_seq_cst);
        wake();  // It may have waited for room.
    }

    /// What it is doing, or did when it ended.
    [[nodiscard]] Stage stage() const noexcept {
        return page().stage.load(std::memory_order_relaxed);
    }

    os::ChildProcess process;
    os::PrivateFd lifeline;
    std::atomic<Life> life{Life::starting};
    bool killed = false;  ///< Its death will follow.
    Deadline start_limit;
    Deadline end_limit;  ///< When it is killed, because it was asked to end.
    std::size_t in_flight = 0;
    std::size_t tasks_given = 0;  ///< Those that were recalled not counted.
    std::size_t most_tasks = (std::numeric_limits<std::size_t>::max)();
    bool stuck = false;       ///< Its task takes long: nothing is to wait behind it.
    bool isolated = false;    ///< It was left with the task that it runs alone, to be killed.
    bool has_worked = false;  ///< At least one result came from it.
    double task_ns = 0;       ///< How long its tasks take, the latest counting most.
    std::string failure;      ///< Why it ends, where that is known.
    /// What the task it runs gets, when it is to get something else than `WorkerCrashed`.
    std::exception_ptr verdict;

  private:
    void place(std::uint64_t number, TaskHandle& handle) noexcept {
        const std::size_t slot = number % ring_slots;
        handle.task->number = number;
        ring_.records[slot] = handle.task->call.record;
        slots_[slot] = std::move(handle);
    }

    [[nodiscard]] bool is_recalled(std::uint64_t number) const noexcept {
        return page().claims[number % ring_slots].load(std::memory_order_acquire) ==
               claim_word(number, Claim::recalled);
    }

    void drop_passed_holes() noexcept {
        while (!holes_.empty() && !is_recalled(holes_.back())) holes_.pop_back();
    }

    /// The first hole behind all tasks that it has: one before them is no place for another task.
    [[nodiscard]] std::vector<std::uint64_t>::reverse_iterator next_hole() noexcept {
        while (end_ != 0 && !has(end_ - 1) && end_ + ring_slots > head_) --end_;
        return std::find_if(holes_.rbegin(), holes_.rend(),
                            [this](std::uint64_t hole) { return hole >= end_; });
    }
    [[nodiscard]] bool has(std::uint64_t number) const noexcept {
        const TaskHandle& slot = slots_[number % ring_slots];
        return slot.task && slot.task->number == number;
    }

    /// Whether the next turn's slot is wholly over with the turn before.
    [[nodiscard]] bool head_is_free() const noexcept {
        return !slots_[head_ % ring_slots].task &&
               (head_ < ring_slots || !is_recalled(head_ - ring_slots));
    }

    /// Offers a task in the place of one that was recalled. False when there is none.
    bool fill_hole(TaskHandle& handle) noexcept {
        for (auto hole = next_hole(); hole != holes_.rend(); hole = next_hole()) {
            const std::uint64_t number = *hole;
            holes_.erase(std::next(hole).base());
            if (!is_recalled(number)) continue;
            // The worker reads the record only after it has claimed the turn.
            place(number, handle);
            std::uint64_t recalled = claim_word(number, Claim::recalled);
            if (page().claims[number % ring_slots].compare_exchange_strong(
                    recalled, claim_word(number, Claim::offered), std::memory_order_seq_cst)) {
                end_ = number + 1;
                return true;
            }
            handle = std::exchange(slots_[number % ring_slots], {});
        }
        return false;
    }

    [[nodiscard]] const std::byte* ring() const noexcept {
        return memory_.data() + result_ring_offset;
    }

    void skip(std::size_t bytes, std::uint64_t left) {
        if (bytes > left) throw CorruptWorker();
        read_ += bytes;
    }

    void find_large(ReceivedResult& result) const {
        LargeResult large;
        if (result.bytes.size() != sizeof large) throw CorruptWorker();
        std::memcpy(&large, result.bytes.data(), sizeof large);
        if (large.slot >= large_slots || large.offset < large_results_offset ||
            large.offset > worker_bytes_ || large.size > worker_bytes_ - large.offset)
            throw CorruptWorker();
        result.large_slot = large.slot;
        result.bytes = {memory_.data() + large.offset, large.size};
    }

    std::size_t worker_bytes_;
    PoolBlock ring_block_;
    TaskRing& ring_;
    os::Mapping memory_;
    std::uint64_t head_ = 0;
    std::array<TaskHandle, ring_slots> slots_;
    std::vector<std::uint64_t> holes_;  // Turns whose task was recalled, the next one last.
    std::uint64_t end_ = 0;             // No turn from here on has a task.
    std::size_t limited_ = 0;           // Tasks it has that have a time limit.
    std::uint64_t read_ = 0;
    std::uint64_t received_ = 0;
};

}  // namespace muster::detail
