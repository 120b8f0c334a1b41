// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_gate.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A queue in the family's memory: a list of items, each in a block of its own: as bytes, and what
/// these refer to lives as long as they do.
///
/// An item belongs to who makes it until the one change that appends it, to the queue until the one
/// change that removes it, and then to who reads it. How many items a process has taken and not yet
/// called done is the claim of its reference.
struct SharedQueue {
    static constexpr BlockKind kind = BlockKind::queue;

    explicit SharedQueue(std::uint64_t limit) : maxsize{limit} {}

    /// Appends an item of the caller's. Blocks: while it is full, at most until the deadline.
    /// False, and the item is still the caller's, when that passed.
    /// Throws: `QueueShutDown`.
    bool put(FamilyMemory& memory, Block& item, const Deadline& deadline) {
        const bool done = not_full.wait_until(
            [&] {
                GuardedChange change(guard);
                if (closed.load() != 0)
                    throw QueueShutDown("muster: the queue was shut down and takes no more items");
                if (is_full()) return false;
                const ArenaOffset offset = memory.offset_of(item);
                change.set(tail.load() == 0 ? head : memory.block(tail.load()).next, offset);
                change.set(tail, offset);
                change.set(size, size.load() + 1);
                change.set(unfinished, unfinished.load() + 1);
                change.set(item.owner, Block::shared);
                change.commit();
                return true;
            },
            deadline);
        if (done) not_empty.notify(1);
        return done;
    }

    /// Takes the first item, which then is the caller's. Blocks: while it is empty, at most until the
    /// deadline, or until it is shut down. Null when there was none.
    Block* get(FamilyMemory& memory, Block& reference, const Deadline& deadline) {
        Block* item = nullptr;
        (void)not_empty.wait_until(
            [&] {
                GuardedChange change(guard);
                item = remove_first(change, memory);
                if (!item) return closed.load() != 0;
                change.set(reference.claim, reference.claim.load() + 1);
                change.commit();
                return true;
            },
            deadline);
        if (item && maxsize.load() != 0) not_full.notify(1);
        return item;
    }

    /// Throws: `InvalidStateError` if as many items were called done as were put.
    void task_done(Block& reference) {
        bool last = false;
        {
            GuardedChange change(guard);
            if (unfinished.load() == 0)
                throw InvalidStateError(
                    "muster: task_done() was called more often than items were put");
            last = unfinished.load() == 1;
            change.set(unfinished, unfinished.load() - 1);
            if (reference.claim.load() != 0)
                change.set(reference.claim, reference.claim.load() - 1);
            change.commit();
        }
        if (last) all_done.notify_all();
    }

    bool join(const Deadline& deadline) {
        return all_done.wait_until([&] { return unfinished.load() == 0; }, deadline);
    }

    /// Takes an item that nobody will work on; null if there is none.
    Block* discard_first(FamilyMemory& memory) {
        GuardedChange change(guard);
        Block* const item = remove_first(change, memory);
        if (!item) return nullptr;
        change.set(unfinished, unfinished.load() - std::min<std::uint64_t>(unfinished.load(), 1));
        change.commit();
        return item;
    }

    void close() {
        {
            GuardedChange change(guard);
            change.set(closed, 1);
            change.commit();
        }
        wake_all();
    }

    void wake_all() noexcept {
        not_empty.notify_all();
        not_full.notify_all();
        all_done.notify_all();
    }

    /// Nobody will call what a dead process had taken done.
    void bury(Block& reference) {
        {
            GuardedChange change(guard);
            const std::uint64_t taken =
                unfinished.load() - std::min(unfinished.load(), size.load());
            change.set(unfinished, unfinished.load() - std::min(taken, reference.claim.load()));
            change.set(reference.claim, 0);
            change.commit();
        }
        wake_all();
    }

    [[nodiscard]] bool is_full() const noexcept {
        return maxsize.load() != 0 && size.load() >= maxsize.load();
    }

    Guard guard;
    alignas(64) SharedWord maxsize;  // What each change needs shares a cache line.
    SharedWord size{0};
    SharedWord head{0};
    SharedWord tail{0};
    SharedWord unfinished{0};
    SharedWord closed{0};
    SharedGate not_empty;
    SharedGate not_full;
    SharedGate all_done;

  private:
    /// Notes that the first item is the caller's now; null if there is none.
    Block* remove_first(GuardedChange& change, FamilyMemory& memory) {
        const ArenaOffset first = head.load();
        if (first == 0) return nullptr;
        Block& item = memory.block(first);
        change.set(head, item.next.load());
        if (first == tail.load()) change.set(tail, 0);
        change.set(size, size.load() - 1);
        change.set(item.owner, memory.slot());
        return &item;
    }
};

}  // namespace muster::detail
