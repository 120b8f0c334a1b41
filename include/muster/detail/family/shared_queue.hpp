// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/claims.hpp>
#include <muster/detail/family/shared_gate.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// An item on its way into a queue, or out of it: a small one as bytes, all others in a block of
/// their own.
struct QueueItem {
    static constexpr std::size_t most_small = 256;

    Block* block = nullptr;  ///< Of the caller's, with all that there is to say; null: a small one.
    Block* segment = nullptr;  ///< Taken with it, and of no more use: to be given back, too.
    std::size_t size = 0;      ///< Of a small one.
    std::array<std::byte, most_small> bytes;  // Not zeroed: most of it is never used.

    QueueItem() noexcept {}  // NOLINT(modernize-use-equals-default): that would zero `bytes`.
};

/// The word in front of each record of a queue: what there is, and a number that says more about it.
struct RecordWord {
    enum class Says : std::uint64_t {
        bytes,   ///< So many follow: a small item.
        block,   ///< The place of an item's block.
        segment  ///< The place of the segment in which the records go on.
    };

    static RecordWord read(const std::byte* place) noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, place, sizeof word);
        return {static_cast<Says>(word % 4), word / 4};
    }
    void write(std::byte* place) const noexcept {
        const std::uint64_t word = number * 4 + static_cast<std::uint64_t>(says);
        std::memcpy(place, &word, sizeof word);
    }

    Says says;
    std::uint64_t number;
};

/// A queue in the family's memory: a run of records, each of an item, in segments of memory.
///
/// Who puts and who gets have a guard each, and meet only at two counts: of the items that were ever
/// put, and of those that were taken. A record is written before it is counted, and read before it
/// is counted as taken. So an item in a block belongs to who makes it until the one change that
/// counts it, to the queue until the one that counts it as taken, and then to who reads it.
///
/// Guards are locked in this order: of consumers, of producers, the arena's.
/// How many items a process has taken and not yet called done is the claim of its reference.
struct SharedQueue {
    static constexpr BlockKind kind = BlockKind::queue;

    explicit SharedQueue(std::uint64_t limit) : maxsize{limit} {
        put_at = get_at = distance_to(first_segment.front());
        put_end = put_at + first_segment.size();
    }

    /// Appends an item. Blocks: while it is full, at most until the deadline. False, and a block is
    /// still the caller's, when that passed.
    /// Throws: `QueueShutDown`, `std::bad_alloc`.
    bool put(FamilyMemory& memory, const QueueItem& item, const Deadline& deadline) {
        const bool done = not_full.wait_until(
            [&] {
                GuardedChange change(put_guard);
                if (closed.load() != 0)
                    throw QueueShutDown("muster: the queue was shut down and takes no more items");
                if (is_full()) return false;
                append(change, memory, item);
                change.commit();
                return true;
            },
            deadline);
        if (done) not_empty.notify(1);
        return done;
    }

    /// Takes the first item. Blocks: while it is empty, at most until the deadline, or until it is
    /// shut down. False when there was none.
    bool get(FamilyMemory& memory, Block& reference, QueueItem& item, const Deadline& deadline) {
        bool taken = false;
        (void)not_empty.wait_until(
            [&] {
                const bool ended = closed.load() != 0;  // First: nothing is put after that.
                if (gets.load() == puts_seen.load() && size() == 0) return ended;
                GuardedChange change(get_guard);
                taken = take_first(change, memory, item);
                if (!taken) return ended;
                claims.add(change, reference, in_work(gets.load() + 1, dones.load()));
                change.commit();
                return true;
            },
            deadline);
        if (taken && maxsize.load() != 0) not_full.notify(1);
        return taken;
    }

    /// Throws: `InvalidStateError` if as many items were called done as were put.
    void task_done(FamilyMemory& memory, Block& reference) {
        bool last = false;
        {
            GuardedChange change(get_guard);
            const std::uint64_t unfinished = puts.load() - dones.load();
            if (unfinished == 0)
                throw InvalidStateError(
                    "muster: task_done() was called more often than items were put");
            last = unfinished == 1;
            change.set(dones, dones.load() + 1);
            claims.give_back(change, memory, reference, 1, in_work(gets.load(), dones.load() + 1));
        }
        if (last) all_done.notify_all();
    }

    bool join(const Deadline& deadline) {
        return all_done.wait_until(
            [&] {
                const std::uint64_t done = dones.load();  // First: it is never more than were put.
                return done == puts.load();
            },
            deadline);
    }

    /// Takes an item that nobody will work on; none if there is none.
    std::optional<QueueItem> discard_first(FamilyMemory& memory) {
        std::optional<QueueItem> item(std::in_place);
        GuardedChange change(get_guard);
        if (!take_first(change, memory, *item)) return std::nullopt;
        change.set(dones, std::min(dones.load() + 1, puts.load()));
        change.commit();
        return item;
    }

    /// Takes the segment of the records to come, which is the caller's then; null if it is the first.
    /// Requires: nobody else uses the queue, and it is empty.
    Block* take_segment(FamilyMemory& memory) {
        GuardedChange change(get_guard);
        if (get_segment.load() == 0) return nullptr;
        Block& segment = memory.block(get_segment.load());
        change.set(get_segment, 0);
        change.set(segment.owner, memory.slot());
        change.commit();
        return &segment;
    }

    void close() {
        {
            GuardedChange change(put_guard);
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

    /// Has what a dead process had written down carried out, so that it is seen.
    void carry_out() {
        { const GuardedChange carried_out(put_guard); }
        { const GuardedChange carried_out(get_guard); }
    }

    /// What a process has taken is in work when it lets go of the queue, for others to call it done.
    void forget(Block& reference) {
        GuardedChange change(get_guard);
        (void)claims.forget(change, reference);
        change.commit();
    }

    /// Nobody will call what a dead process had taken done.
    void bury(Block& reference) {
        carry_out();
        {
            GuardedChange change(get_guard);
            const std::uint64_t taken = in_work(gets.load(), dones.load());
            change.set(dones, dones.load() + std::min(taken, claims.forget(change, reference)));
            change.commit();
        }
        wake_all();
    }

    [[nodiscard]] std::size_t size() const noexcept {
        for (std::uint64_t taken = gets.load();;) {
            const std::uint64_t put = puts.load();
            // While none was taken in between, it held so many at some moment.
            if (const std::uint64_t before = std::exchange(taken, gets.load()); before == taken)
                return put - taken;
        }
    }
    [[nodiscard]] bool is_full() const noexcept {
        return maxsize.load() != 0 && size() >= maxsize.load();
    }

    // What producers change, what consumers change, and what hardly ever changes: neither disturbs
    // the others' caches.
    alignas(64) Guard put_guard;
    alignas(64) SharedWord puts{0};
    SharedWord put_at{0};  ///< Places are distances from the queue.
    SharedWord put_end{0};
    SharedGate not_empty;
    alignas(64) Guard get_guard;
    alignas(64) SharedWord gets{0};
    SharedWord get_at{0};
    SharedWord puts_seen{0};    ///< Each look at `puts` itself makes the next put slower.
    SharedWord get_segment{0};  ///< 0: the first one.
    SharedWord dones{0};
    Claims claims;
    SharedGate not_full;
    alignas(64) SharedWord maxsize;
    SharedWord closed{0};  ///< Under the guard of who puts.
    SharedGate all_done;
    alignas(64) std::array<std::byte, 256> first_segment;

  private:
    using Says = RecordWord::Says;
    static constexpr std::size_t large_segment = 4096 - sizeof(Block);
    static constexpr std::size_t small_segment = 512 - sizeof(Block);
    static constexpr std::size_t word_bytes = 8;  ///< Of a RecordWord; records begin at multiples.

    /// What was taken and not called done yet: that may be said of an item before it is taken.
    static std::uint64_t in_work(std::uint64_t taken, std::uint64_t done) noexcept {
        return taken - std::min(taken, done);
    }
    static std::size_t record_bytes(std::size_t item_bytes) noexcept {
        return word_bytes + (item_bytes + word_bytes - 1) / word_bytes * word_bytes;
    }
    [[nodiscard]] std::byte* place(std::uint64_t distance) noexcept {
        return reinterpret_cast<std::byte*>(this) + static_cast<std::ptrdiff_t>(distance);
    }
    [[nodiscard]] std::uint64_t distance_to(std::byte& there) noexcept {
        return static_cast<std::uint64_t>(&there - reinterpret_cast<std::byte*>(this));
    }

    /// Writes the record of an item, and notes that it is there. Nobody reads it before.
    void append(GuardedChange& change, FamilyMemory& memory, const QueueItem& item) {
        const std::size_t needed = record_bytes(item.block ? 0 : item.size);
        std::uint64_t at = put_at.load();
        // A word more, for the way to the next segment.
        if (needed + word_bytes > put_end.load() - at) {
            // A queue that is empty again and again keeps little.
            const std::size_t segment_bytes = size() == 0 ? small_segment : large_segment;
            Block& next = allocate_block(memory, segment_bytes);
            RecordWord{Says::segment, memory.offset_of(next)}.write(place(at));
            at = distance_to(next.content<std::byte>());
            change.set(put_end, at + segment_bytes);
            change.set(next.owner, Block::shared);
        }
        if (item.block) {
            RecordWord{Says::block, memory.offset_of(*item.block)}.write(place(at));
            change.set(item.block->owner, Block::shared);
        } else {
            RecordWord{Says::bytes, item.size}.write(place(at));
            std::memcpy(place(at) + word_bytes, item.bytes.data(), item.size);
        }
        change.set(put_at, at + needed);
        change.set(puts, puts.load() + 1);  // Last: who sees the count sees all of the above.
    }

    /// Reads the first record, and notes that its item is the caller's; false if there is none.
    bool take_first(GuardedChange& change, FamilyMemory& memory, QueueItem& item) {
        const std::uint64_t taken = gets.load();
        if (taken == puts_seen.load()) puts_seen.store(puts.load());
        if (taken == puts_seen.load()) return false;
        const std::uint64_t own = memory.slot();
        std::uint64_t at = get_at.load();
        auto record = RecordWord::read(place(at));
        const ArenaOffset next = record.says == Says::segment ? record.number : 0;
        if (next != 0) {
            at = distance_to(memory.block(next).content<std::byte>());
            record = RecordWord::read(place(at));
        }
        if (record.says == Says::block) {
            // Who put it may have died before its change was forgotten: who locks that guard next
            // carries it out again, which must not come after it was taken.
            const GuardedChange carried_out(put_guard);
        }
        // Nothing throws from here on: what `item` names is given back by who has it.
        if (next != 0) {
            if (get_segment.load() != 0) {
                item.segment = &memory.block(get_segment.load());
                change.set(item.segment->owner, own);
            }
            change.set(get_segment, next);
        }
        if (record.says == Says::block) {
            item.block = &memory.block(record.number);
            change.set(item.block->owner, own);
        } else {
            // Other processes map it, too: it is believed only as far as there is room.
            item.size = std::min<std::size_t>(record.number, QueueItem::most_small);
            std::memcpy(item.bytes.data(), place(at) + word_bytes, item.size);
        }
        change.set(get_at, at + record_bytes(item.block ? 0 : item.size));
        change.set(gets, taken + 1);
        return true;
    }
};

}  // namespace muster::detail
