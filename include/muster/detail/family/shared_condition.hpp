// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <new>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/os.hpp>

namespace muster::detail {

/// In a block of its own: a thread that waits for a condition.
///
/// | condition | linked | the thread                                                        |
/// |-----------|--------|-------------------------------------------------------------------|
/// | set       | 1      | waits, and is in the condition's list                             |
/// | set       | 0      | was notified and doesn't know yet: if it dies, another one may go |
/// | 0         | 0      | waits no more                                                     |
struct WaiterContent {
    SharedWord condition{0};
    SharedWord linked{0};
    SharedWord next{0};
    SharedWord previous{0};
    std::atomic<std::uint32_t> turn{0};  ///< It sleeps on this.
};

/// A condition in the family's memory: a list of those who wait, in the order in which they came.
struct SharedCondition {
    static constexpr BlockKind kind = BlockKind::condition;

    /// Counts the caller as waiting, from now on.
    Block& enter(FamilyMemory& memory, ArenaOffset own) {
        Block& waiter = allocate_block(memory, sizeof(WaiterContent));
        auto& content = *new (&waiter.content<WaiterContent>()) WaiterContent;
        waiter.kind.store(static_cast<std::uint64_t>(BlockKind::waiter));
        const ArenaOffset offset = memory.offset_of(waiter);
        GuardedChange change(guard);
        const ArenaOffset last = tail.load();
        change.set(last == 0 ? head : content_of(memory, last).next, offset);
        change.set(content.previous, last);
        change.set(content.condition, own);
        change.set(content.linked, 1);
        change.set(tail, offset);
        change.commit();
        return waiter;
    }

    /// Blocks until the waiter is notified, at most until the deadline; then it is gone.
    bool wait(FamilyMemory& memory, Block& waiter, const Deadline& deadline) {
        auto& content = waiter.content<WaiterContent>();
        for (bool in_time = true; in_time && content.linked.load() != 0;) {
            const std::uint32_t seen = content.turn.load();
            if (content.linked.load() != 0)
                in_time = os::sleep_on(content.turn, seen, deadline, os::Sharing::processes);
        }
        bool notified = false;
        {
            GuardedChange change(guard);
            notified = content.linked.load() == 0;
            if (!notified) unlink(change, memory, content);
            change.set(content.condition, 0);
            change.commit();
        }
        free_block(memory, waiter);
        return notified;
    }

    /// Wakes those who have waited longest.
    void notify(FamilyMemory& memory, std::uint64_t count) {
        for (; count != 0; --count) {
            WaiterContent* first = nullptr;
            {
                GuardedChange change(guard);
                if (head.load() == 0) return;
                first = &content_of(memory, head.load());
                unlink(change, memory, *first);
                change.commit();
                first->turn.fetch_add(1);
            }
            wake(*first);
        }
    }

    /// A process has died that may have notified someone whom it had not woken yet.
    void bury(FamilyMemory& memory, ArenaOffset own) {
        { const GuardedChange carried_out(guard); }
        for_each_block(memory, [&](Block& block) {
            if (block.block_kind() != BlockKind::waiter) return;
            auto& content = block.content<WaiterContent>();
            {
                const GuardedChange held(guard);  // Without it a block may become another.
                const bool waits = block.owner.load() != 0 &&
                                   block.block_kind() == BlockKind::waiter &&
                                   content.condition.load() == own;
                if (!waits) return;
                content.turn.fetch_add(1);
            }
            wake(content);
        });
    }

    /// The thread that waited has died. If it was to go on, another one is: in the same change, for
    /// who sees to that may die, too. (Then that one is woken by who buries the dead thread's
    /// reference for the second time.)
    void bury_waiter(FamilyMemory& memory, Block& waiter) {
        auto& content = waiter.content<WaiterContent>();
        WaiterContent* heir = nullptr;
        {
            GuardedChange change(guard);
            if (content.linked.load() != 0)
                unlink(change, memory, content);
            else if (head.load() != 0)
                unlink(change, memory, *(heir = &content_of(memory, head.load())));
            change.set(content.condition, 0);
            change.commit();
            if (heir) heir->turn.fetch_add(1);
        }
        if (heir) wake(*heir);
    }

    Guard guard;
    SharedWord head{0};
    SharedWord tail{0};

  private:
    static WaiterContent& content_of(FamilyMemory& memory, ArenaOffset waiter) noexcept {
        return memory.block(waiter).content<WaiterContent>();
    }

    void unlink(GuardedChange& change, FamilyMemory& memory, WaiterContent& content) noexcept {
        const ArenaOffset next = content.next.load();
        const ArenaOffset previous = content.previous.load();
        change.set(previous == 0 ? head : content_of(memory, previous).next, next);
        change.set(next == 0 ? tail : content_of(memory, next).previous, previous);
        change.set(content.linked, 0);
    }

    /// Wakes a waiter whose turn was changed under the guard, without which it does not go: now its
    /// block may be anybody's, so nothing is written to it. Who sleeps there wakes for nothing.
    static void wake(const WaiterContent& content) noexcept {
        os::wake_all(content.turn, os::Sharing::processes);
    }
};

}  // namespace muster::detail
