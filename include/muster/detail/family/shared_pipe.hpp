// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_gate.hpp>
#include <muster/detail/family/shared_queue.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// In the block of a process's reference to an end: its bell, which rings while there is something
/// to read.
struct PipeBell {
    SharedWord next{0};  ///< The next reference to the same end that has a bell.
    SharedWord process{0};
    SharedWord fd{0};
    SharedWord device{0};
    SharedWord inode{0};

    [[nodiscard]] os::BellPlace place() const noexcept {
        return {process.load(), fd.load(), device.load(), inode.load()};
    }
};

/// One direction of a pipe: a list of messages, which one end writes and the other one reads.
///
/// It is closed when one of its two ends is. Bells are rung and cleared under the guard, so that they
/// ring exactly while there is something to read; who dies in between is noticed by who sees to what
/// the dead leave behind. A message that cannot ring a bell is not sent: `std::system_error`.
struct PipeLane {
    /// As many bytes of messages may wait, or one message of any size.
    static constexpr std::uint64_t most_waiting = std::uint64_t{1} << 20;

    /// Appends a message of the caller's. Blocks: while too much is waiting; `check` is called before
    /// each look, and what it throws leaves.
    /// Throws: `EndOfFile`.
    template <typename Check>
    void put(FamilyMemory& memory, Block& message, Check check) {
        (void)not_full.wait_until(
            [&] {
                check();
                GuardedChange change(guard);
                if (closed.load() != 0)
                    throw EndOfFile("muster: the other end of this connection is closed");
                const std::uint64_t bytes = waiting.load() + cost(message);
                if (head.load() != 0 && bytes > most_waiting) return false;
                const bool first = head.load() == 0;
                const Bells rung(*this, memory, first ? Reach::all : Reach::none);
                const ArenaOffset offset = memory.offset_of(message);
                change.set(first ? head : memory.block(tail.load()).next, offset);
                change.set(tail, offset);
                change.set(waiting, bytes);
                change.set(message.owner, Block::shared);
                change.commit();
                return true;
            },
            std::nullopt);
        not_empty.notify(1);
    }

    /// Takes the first message, which then is the caller's. Blocks: until there is one.
    /// Throws: `EndOfFile` when there won't be any; what `check` throws, as in put().
    template <typename Check>
    Block& get(FamilyMemory& memory, Check check) {
        Block* message = nullptr;
        (void)not_empty.wait_until(
            [&] {
                check();
                message = take_first(memory);
                if (!message && closed.load() != 0)
                    throw EndOfFile(
                        "muster: the other end of this connection is closed, and everything it "
                        "sent has been received");
                return message != nullptr;
            },
            std::nullopt);
        not_full.notify_all();  // A large one leaves room for many.
        return *message;
    }

    /// The same without waiting; null if there is none.
    Block* take_first(FamilyMemory& memory) {
        GuardedChange change(guard);
        const ArenaOffset first = head.load();
        if (first == 0) return nullptr;
        Block& message = memory.block(first);
        const Bells cleared(*this, memory, first == tail.load() ? Reach::all : Reach::none);
        change.set(head, message.next.load());
        if (first == tail.load()) change.set(tail, 0);
        change.set(waiting, waiting.load() - cost(message));
        change.set(message.owner, memory.slot());
        change.commit();
        return &message;
    }

    /// Whether get() would return, or throw, at once.
    [[nodiscard]] bool readable() const noexcept { return head.load() != 0 || closed.load() != 0; }

    /// Blocks until it is readable, at most until the deadline.
    template <typename Check>
    bool wait_readable(const Deadline& deadline, Check check) {
        const bool there = not_empty.wait_until(
            [&] {
                check();
                return readable();
            },
            deadline);
        if (there) not_empty.notify(1);  // It was meant for one who takes a message.
        return there;
    }

    void close(FamilyMemory& memory) {
        {
            GuardedChange change(guard);
            const Bells rung(*this, memory, Reach::possible);
            change.set(closed, 1);
            change.commit();
        }
        wake_all();
    }

    /// Has the bell ring from now on while there is something to read.
    void add_bell(FamilyMemory& memory, Block& reference, const os::BellPlace& place) {
        GuardedChange change(guard);
        auto& bell = *new (&reference.content<PipeBell>()) PipeBell;
        change.set(bell.process, place.process);
        change.set(bell.fd, place.fd);
        change.set(bell.device, place.device);
        change.set(bell.inode, place.inode);
        change.set(bell.next, bells.load());
        change.set(bells, memory.offset_of(reference));
        change.commit();
        if (readable())
            os::FamilyBell::Way(place).ring();  // Of this process: it is always reached.
    }
    /// Forgets the bell of this reference, if it has one.
    void remove_bell(FamilyMemory& memory, Block& reference) {
        GuardedChange change(guard);
        const ArenaOffset offset = memory.offset_of(reference);
        SharedWord* place = &bells;
        while (place->load() != 0 && place->load() != offset) place = &bell_at(memory, *place).next;
        if (place->load() == 0) return;
        change.set(*place, reference.content<PipeBell>().next.load());
        change.commit();
    }

    /// Makes up for what one who died may have left undone.
    void mend(FamilyMemory& memory) {
        {
            const GuardedChange change(guard);
            const Bells rung(*this, memory, Reach::possible);
        }
        wake_all();
    }

    void wake_all() noexcept {
        not_empty.notify_all();
        not_full.notify_all();
    }

    Guard guard;
    SharedWord head{0};
    SharedWord tail{0};
    SharedWord waiting{0};  ///< Bytes of the messages in the list.
    SharedWord closed{0};
    SharedWord bells{0};  ///< The first reference with a bell.
    SharedGate not_empty;
    SharedGate not_full;

  private:
    static std::uint64_t cost(Block& message) noexcept {
        return sizeof(Block) + message.claim.load();
    }
    static PipeBell& bell_at(FamilyMemory& memory, const SharedWord& place) noexcept {
        return memory.block(place.load()).content<PipeBell>();
    }

    enum class Reach { none, all, possible };  ///< Which bells: those that can be reached, or all.

    /// The ways to the bells of a lane, found before it is changed: who cannot reach one changes
    /// nothing, instead of leaving somebody asleep. After the change, and still under the guard, they
    /// are rung or cleared.
    class Bells {
      public:
        Bells(const PipeLane& lane, FamilyMemory& memory, Reach reach) : lane_{lane} {
            for (const SharedWord* place = &lane.bells; reach != Reach::none && place->load() != 0;
                 place = &bell_at(memory, *place).next) {
                try {
                    ways_.emplace_back(bell_at(memory, *place).place());
                } catch (...) {  // To end and to mend goes before: one may be woken too late.
                    if (reach == Reach::all) throw;
                }
            }
        }
        Bells(const Bells&) = delete;
        Bells& operator=(const Bells&) = delete;
        ~Bells() {
            for (const auto& way : ways_) lane_.readable() ? way.ring() : way.clear();
        }

      private:
        const PipeLane& lane_;
        std::vector<os::FamilyBell::Way> ways_;
    };
};

/// A pipe in the family's memory. Its ends refer to it, and processes refer to its ends.
struct SharedPipe {
    static constexpr BlockKind kind = BlockKind::pipe;

    std::array<PipeLane, 2> lanes;
};

/// An end of a pipe: it writes the lane of its number, and reads the other one.
struct SharedPipeEnd {
    static constexpr BlockKind kind = BlockKind::pipe_end;

    explicit SharedPipeEnd(std::uint64_t its_number) : number{its_number} {}

    /// Its pipe; null before it has one.
    [[nodiscard]] SharedPipe* pipe(FamilyMemory& memory) noexcept {
        const ArenaOffset reference = first_reference.load();
        if (reference == 0) return nullptr;
        return &memory.block(memory.block(reference).target.load()).content<SharedPipe>();
    }
    [[nodiscard]] PipeLane& written(FamilyMemory& memory) noexcept {
        return pipe(memory)->lanes[number.load()];
    }
    [[nodiscard]] PipeLane& read(FamilyMemory& memory) noexcept {
        return pipe(memory)->lanes[1 - number.load()];
    }

    /// Forgets the bell of a dead process, and wakes who may have waited for it.
    void bury(FamilyMemory& memory, Block& reference) {
        if (!pipe(memory)) return;
        read(memory).remove_bell(memory, reference);
        read(memory).mend(memory);
        written(memory).mend(memory);
    }

    SharedWord number;
    SharedWord first_reference{0};  ///< Of its own, to its pipe.
};

}  // namespace muster::detail
