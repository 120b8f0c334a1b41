// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

#include <muster/detail/family/arena_layout.hpp>
#include <muster/detail/family/family_memory.hpp>
#include <muster/detail/family/journal.hpp>
#include <muster/detail/os.hpp>

/// Blocks of the memory that a family of processes shares: taken, given back, referred to.
///
/// Each step is one guarded change, after which every block has its owner in its header: whoever is
/// killed between two steps leaves nothing but blocks of its own, which are found by that.
/// Thread safety: all functions.
namespace muster::detail {

inline std::size_t block_bytes(std::uint64_t size_class) noexcept {
    return smallest_block << size_class;
}

/// From this size on, the pages of a block are given back to the system when it is free.
inline constexpr std::size_t zeroed_from = std::size_t{1} << 18;

/// A block for so many bytes, which belongs to this process. Of those with `zeroed_from` bytes or
/// more, the pages that are wholly its own read as zeros.
///
/// **Throws**: `std::bad_alloc` beyond the machine's memory, `std::system_error`.
inline Block& allocate_block(FamilyMemory& memory, std::size_t size,
                             BlockKind kind = BlockKind::bytes) {
    if (size > memory.bytes() / 2) throw std::bad_alloc();
    const std::uint64_t size_class = static_cast<std::uint64_t>(std::countr_zero(
        std::bit_ceil(std::max(size + sizeof(Block), smallest_block)) / smallest_block));
    const std::uint64_t slot = memory.slot();
    ArenaHeader& header = memory.header();

    GuardedChange change(header.guard);
    SharedWord& free = header.free[size_class];
    ArenaOffset offset = free.load();
    Block& block = memory.block(offset != 0 ? offset : header.end.load());
    if (offset != 0) {
        change.set(free, block.next.load());
    } else {
        offset = header.end.load();
        if (block_bytes(size_class) > memory.bytes() - offset) throw std::bad_alloc();
        change.set(block.size_class, size_class);
        change.set(header.end, offset + block_bytes(size_class));
    }
    // Of a free block, nothing but its place in the list counts: these need no record.
    block.kind.store(static_cast<std::uint64_t>(kind), std::memory_order_relaxed);
    block.references.store(0, std::memory_order_relaxed);
    block.target.store(0, std::memory_order_relaxed);
    block.claim.store(0, std::memory_order_relaxed);
    change.set(header.used, header.used.load() + block_bytes(size_class));
    change.set(block.next, 0);
    change.set(block.owner, slot);
    change.commit();
    return block;
}

/// Gives a block of this process back, and its pages if they are many.
inline void free_block(FamilyMemory& memory, Block& block) {
    const std::uint64_t size_class = block.size_class.load();
    const ArenaOffset offset = memory.offset_of(block);
    if (block_bytes(size_class) >= zeroed_from) {
        const std::size_t page = os::page_size();
        const ArenaOffset begin = (offset + sizeof(Block) + page - 1) / page * page;
        const ArenaOffset end = (offset + block_bytes(size_class)) / page * page;
        os::discard(memory.fd(), begin, end - begin);
    }
    ArenaHeader& header = memory.header();
    GuardedChange change(header.guard);
    change.set(block.next, header.free[size_class].load());
    change.set(header.free[size_class], offset);
    change.set(header.used, header.used.load() - block_bytes(size_class));
    change.set(block.owner, 0);
    change.commit();
}

/// Makes a new object of a block that holds it by now: with one reference, which belongs to this
/// process, and is returned.
inline Block& publish_object(FamilyMemory& memory, Block& object, BlockKind kind) {
    Block& reference = allocate_block(memory, 0, BlockKind::reference);
    ArenaHeader& header = memory.header();
    GuardedChange change(header.guard);
    const std::uint64_t identity = header.identities.load() + 1;
    change.set(header.identities, identity);
    change.set(object.identity, identity);
    change.set(object.kind, static_cast<std::uint64_t>(kind));
    change.set(object.references, 1);
    change.set(object.owner, Block::shared);
    change.set(reference.target, memory.offset_of(object));
    change.commit();
    return reference;
}

/// What names an object in every process of the family.
struct ObjectName {
    std::uint64_t family = 0;
    ArenaOffset offset = 0;
    std::uint64_t identity = 0;
};

/// Another reference to an object, which belongs to this process; null if it is no more, or the name
/// is nothing's. `name` may come from anywhere.
inline Block* refer_to(FamilyMemory& memory, const ObjectName& name, BlockKind kind) {
    if (name.family != memory.header().family || name.offset % sizeof(Block) != 0 ||
        name.offset < sizeof(ArenaHeader) || name.offset > memory.bytes() - smallest_block ||
        name.identity == 0)
        return nullptr;
    Block& object = memory.block(name.offset);
    Block& reference = allocate_block(memory, 0, BlockKind::reference);
    {
        GuardedChange change(memory.header().guard);
        if (object.owner.load() == Block::shared && object.identity.load() == name.identity &&
            object.block_kind() == kind) {
            change.set(object.references, object.references.load() + 1);
            change.set(reference.target, name.offset);
            change.commit();
            return &reference;
        }
    }
    free_block(memory, reference);
    return nullptr;
}

/// Has a block of this process, or what it becomes, refer to an object that the process holds: until
/// `release_references`.
inline void add_reference(FamilyMemory& memory, const ObjectName& name, BlockKind kind,
                          SharedWord& first_reference) {
    Block* const reference = refer_to(memory, name, kind);
    if (!reference) return;  // It is held, so it is there.
    GuardedChange change(memory.header().guard);
    change.set(reference->next, first_reference.load());
    change.set(reference->owner, Block::shared);
    change.set(first_reference, memory.offset_of(*reference));
    change.commit();
}

/// Ends a reference of this process. If it was the last one, the object is this process's to take
/// apart, and is returned.
inline Block* drop_reference(FamilyMemory& memory, Block& reference) {
    Block* last = nullptr;
    if (const ArenaOffset target = reference.target.load(); target != 0) {
        Block& object = memory.block(target);
        const std::uint64_t slot = memory.slot();
        GuardedChange change(memory.header().guard);
        const std::uint64_t references = object.references.load() - 1;
        change.set(object.references, references);
        change.set(reference.target, 0);
        if (references == 0) {
            change.set(object.owner, slot);
            last = &object;
        }
        change.commit();
    }
    free_block(memory, reference);
    return last;
}

/// Calls `use` for each block there is, whoever owns it and whatever happens to it meanwhile.
template <typename Use>
void for_each_block(FamilyMemory& memory, Use use) {
    ArenaHeader& header = memory.header();
    ArenaOffset at = (sizeof(ArenaHeader) + 4095) / 4096 * 4096;
    const ArenaOffset end = header.end.load(std::memory_order_acquire);
    while (at < end) {
        Block& block = memory.block(at);
        use(block);
        at += block_bytes(block.size_class.load(std::memory_order_acquire));
    }
}

}  // namespace muster::detail
