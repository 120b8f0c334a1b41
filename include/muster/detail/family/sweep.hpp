// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/named_handle.hpp>
#include <muster/detail/family/shared_barrier.hpp>
#include <muster/detail/family/shared_bytes.hpp>
#include <muster/detail/family/shared_condition.hpp>
#include <muster/detail/family/shared_event.hpp>
#include <muster/detail/family/shared_lock.hpp>
#include <muster/detail/family/shared_pipe.hpp>
#include <muster/detail/family/shared_queue.hpp>
#include <muster/detail/family/shared_semaphore.hpp>
#include <muster/detail/os.hpp>

/// Taking apart what is nobody's any more, and what dead processes have left.
namespace muster::detail {

inline void take_apart(FamilyMemory& memory, Block& block);

/// Has the object forget what the reference claims of it: that is nobody's then.
inline void forget_claim(FamilyMemory& memory, Block& reference) {
    const ArenaOffset target = reference.target.load();
    if (target == 0) return;
    Block& object = memory.block(target);
    // Also where it claims nothing: what somebody wrote down for it who died is carried out before
    // the reference becomes something else.
    switch (object.block_kind()) {
        case BlockKind::semaphore:
            return object.content<SharedSemaphore>().forget(reference);
        case BlockKind::barrier:
            return object.content<SharedBarrier>().forget(memory, reference);
        case BlockKind::queue:
            return object.content<SharedQueue>().forget(reference);
        default:
            return;
    }
}

/// Ends a reference of this process, and the object if it was the last one.
inline void release_reference(FamilyMemory& memory, Block& reference) {
    forget_claim(memory, reference);
    if (Block* const object = drop_reference(memory, reference)) take_apart(memory, *object);
}

/// Ends the references that a block of this process has of its own.
inline void release_references(FamilyMemory& memory, SharedWord& first_reference) {
    while (const ArenaOffset first = first_reference.load()) {
        Block& reference = memory.block(first);
        {
            GuardedChange change(memory.header().guard);
            change.set(first_reference, reference.next.load());
            change.set(reference.owner, memory.slot());
            change.commit();
        }
        release_reference(memory, reference);
    }
}

/// Gives an item of this process back, and what its bytes refer to.
inline void free_item(FamilyMemory& memory, Block& item) {
    release_references(memory, item.target);
    free_block(memory, item);
}
/// The same for what was taken from a queue.
inline void free_item(FamilyMemory& memory, const QueueItem& taken) {
    if (taken.segment) free_block(memory, *taken.segment);
    if (taken.block) free_item(memory, *taken.block);
}

/// Takes a queue's items and segments, which nobody uses any more, apart.
inline void empty_queue(FamilyMemory& memory, SharedQueue& queue) {
    while (const auto item = queue.discard_first(memory)) free_item(memory, *item);
    if (Block* const segment = queue.take_segment(memory)) free_block(memory, *segment);
}

/// Gives back the action of a barrier that nobody uses any more, and what that refers to.
inline void free_action(FamilyMemory& memory, SharedBarrier& barrier) {
    if (Block* const action = barrier.take_action(memory)) free_item(memory, *action);
}

/// Closes a pipe at this end. What nobody will read any more is dropped.
inline void close_pipe(FamilyMemory& memory, SharedPipeEnd& end) {
    if (!end.pipe(memory)) return;
    end.written(memory).close(memory);
    end.read(memory).close(memory);
    while (Block* const message = end.read(memory).take_first(memory)) free_item(memory, *message);
    release_references(memory, end.first_reference);
}

/// Takes a block apart that is this process's alone.
inline void take_apart(FamilyMemory& memory, Block& block) {
    switch (block.block_kind()) {
        case BlockKind::reference:
            return release_reference(memory, block);
        case BlockKind::item:
            return free_item(memory, block);
        case BlockKind::queue:
            empty_queue(memory, block.content<SharedQueue>());
            break;
        case BlockKind::pipe_end:
            close_pipe(memory, block.content<SharedPipeEnd>());
            break;
        case BlockKind::barrier:
            free_action(memory, block.content<SharedBarrier>());
            break;
        case BlockKind::lock:
        case BlockKind::recursive_lock: {
            // The system has a note of a mutex that is held: its memory may not be used otherwise.
            os::RobustMutex& mutex = block.content<SharedLock>().mutex;
            switch (mutex.try_lock()) {
                case os::Locked::no:
                    return;  // Freed when this process, or a later sweep, ends.
                case os::Locked::by_caller:
                case os::Locked::yes:
                case os::Locked::after_death:
                    (void)mutex.unlock();
            }
            break;
        }
        default:
            break;
    }
    free_block(memory, block);
}

/// Has what a dead process changed in an object, while it took that apart, carried out to the end.
inline void end_taking_apart(FamilyMemory& memory, Block& object) {
    if (object.block_kind() == BlockKind::queue) object.content<SharedQueue>().carry_out();
    if (object.block_kind() == BlockKind::pipe_end)
        if (SharedPipe* const pipe = object.content<SharedPipeEnd>().pipe(memory))
            for (PipeLane& lane : pipe->lanes) const GuardedChange carried_out(lane.guard);
}

/// Gives back what a dead process had of the object, or has it forgotten if that ended in order; and
/// sees to what its threads were about to do.
inline void bury_claim(FamilyMemory& memory, Block& reference, bool in_order) {
    const ArenaOffset target = reference.target.load();
    if (target == 0) return;
    Block& object = memory.block(target);
    if (in_order) forget_claim(memory, reference);
    switch (object.block_kind()) {
        case BlockKind::semaphore:
            return object.content<SharedSemaphore>().bury(reference);
        case BlockKind::event:
            return object.content<SharedEvent>().bury(reference);
        case BlockKind::condition:
            return object.content<SharedCondition>().bury(memory, target);
        case BlockKind::barrier:
            if (in_order) return;
            return object.content<SharedBarrier>().bury(memory, reference);
        case BlockKind::queue:
            return object.content<SharedQueue>().bury(reference);
        case BlockKind::pipe_end:
            return object.content<SharedPipeEnd>().bury(memory, reference);
        default:
            return;
    }
}

/// Takes over all that the process in `slot` had. Requires: it has died, and nobody else sweeps.
inline void sweep_process(FamilyMemory& memory, std::uint64_t slot) {
    // What it had written down and not carried out comes first: it says whose a block really is. To
    // lock a guard does that; those of objects are locked for what it had of each.
    { const GuardedChange carried_out(memory.header().guard); }
    SharedWord& in_order = memory.header().in_order[slot];
    for_each_block(memory, [&](Block& block) {
        if (block.owner.load() != slot) return;
        if (block.block_kind() == BlockKind::reference)
            bury_claim(memory, block, in_order.load() != 0);
        else
            end_taking_apart(memory, block);
    });
    // As long as its references keep what it waited for.
    for_each_block(memory, [&](Block& block) {
        if (block.owner.load() != slot || block.block_kind() != BlockKind::waiter) return;
        if (const ArenaOffset waited_for = block.content<WaiterContent>().condition.load())
            memory.block(waited_for).content<SharedCondition>().bury_waiter(memory, block);
    });
    const std::uint64_t own = memory.slot();
    for (bool more = true; more;) {  // Taking one apart may bring others to light.
        more = false;
        for_each_block(memory, [&](Block& block) {
            if (block.owner.load() != slot) return;
            more = true;
            // If this process dies after that, who sweeps what it leaves goes on from here. But a
            // reference stays the dead one's to the end: this process has no part in the object.
            if (block.block_kind() != BlockKind::reference) {
                GuardedChange change(memory.header().guard);
                change.set(block.owner, own);
                change.commit();
            }
            take_apart(memory, block);
        });
    }
    in_order.store(0, std::memory_order_release);
    memory.header().parents[slot].store(0, std::memory_order_release);
    memory.header().processes[slot].store(0, std::memory_order_release);
}

/// Whether the process in `slot` is about to end, since its parent has. Waits a little for its end,
/// which nobody else would see; but once only, as it may be a copy that does not end.
inline bool await_orphan(FamilyMemory& memory, std::uint64_t slot, std::uint64_t number) {
    constexpr std::chrono::seconds patience{1};
    constexpr std::chrono::milliseconds pause{1};
    SharedWord& parent = memory.header().parents[slot];
    const std::uint64_t known = parent.load();
    if (known == 0 || known == os::fork_generation() || os::process_lives(known)) return false;
    for (const Deadline limit = deadline_after(patience);
         os::process_lives(number) && !expired(limit);)
        std::this_thread::sleep_for(pause);
    parent.store(0);
    return true;
}

/// One sweeps at a time: what another takes apart must not be looked at.
class SweepLock {
  public:
    explicit SweepLock(os::RobustMutex& mutex) : mutex_{mutex} { (void)mutex.lock(); }
    SweepLock(const SweepLock&) = delete;
    SweepLock& operator=(const SweepLock&) = delete;
    ~SweepLock() { (void)mutex_.unlock(); }

  private:
    os::RobustMutex& mutex_;
};

/// Gives back all that processes of the family had which have died.
///
/// Who sees a child die calls it: permits, places and references of the dead are given back, and who
/// waits for them is woken. Names that nobody uses any more are removed.
inline void sweep_dead_processes() noexcept {
    try {
        const auto memory = FamilyMemory::existing();
        if (!memory) return;
        const std::uint64_t own = memory->slot();
        const SweepLock alone(memory->header().sweeping);
        for (std::uint64_t slot = 1; slot < most_processes; ++slot) {
            const std::uint64_t number = memory->header().processes[slot].load();
            if (number == 0 || slot == own) continue;
            if (!os::process_lives(number))
                sweep_process(*memory, slot);
            else if (await_orphan(*memory, slot, number))
                slot = 0;  // It, and others that end with it, may be anywhere.
        }
        if (memory->header().names.load() == 0) return;
        NamedHandle<SharedBytes, BlockKind::memory>::remove_unused();
        NamedHandle<SharedLock, BlockKind::lock>::remove_unused();
    } catch (...) {  // No memory, or no descriptor, at this moment. The next death tries again.
    }
}

}  // namespace muster::detail
