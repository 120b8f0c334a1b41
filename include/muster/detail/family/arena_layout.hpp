// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <muster/detail/family/journal.hpp>

/// The memory that a family of processes shares: who started first, its workers, theirs, and so on.
///
///     ArenaHeader | Block, bytes | Block, bytes | ...
///
/// Blocks are powers of two. One of a size never becomes one of another, so that all of them can be
/// walked through at any time, by who looks for what a dead process has left.
///
/// Who a block belongs to is a word in it:
///
/// | owner     | the block                                                                    |
/// |-----------|------------------------------------------------------------------------------|
/// | 0         | is free                                                                      |
/// | a process | is freed when that process has died: it is being made, or taken apart, or is |
/// |           | a reference of that process                                                  |
/// | shared    | belongs to an object: itself while it has references, or an item in a queue  |
namespace muster::detail {

using ArenaOffset = std::uint64_t;  ///< Of a block from the start of the arena; 0: none.

enum class BlockKind : std::uint64_t {
    bytes,
    reference,
    lock,
    recursive_lock,
    semaphore,
    event,
    condition,
    waiter,
    barrier,
    queue,
    item,
    value,
    memory,
    pipe,
    pipe_end
};

/// In front of the bytes of each block.
struct alignas(64) Block {
    static constexpr std::uint64_t shared = ~std::uint64_t{0};

    SharedWord size_class{0};  ///< Never changes. Of a block of smallest << size_class bytes.
    SharedWord owner{0};       ///< 0, the slot of a process, or `shared`.
    SharedWord kind{0};        ///< A BlockKind: `bytes` until what it says has been made.
    SharedWord identity{0};    ///< Of an object: no other ever had it in this arena.
    SharedWord references{0};  ///< Of an object: how many there are.
    SharedWord next{0};        ///< The next one that is free, or of the same item.
    SharedWord target{0};      ///< Of a reference: the object. Of an item: its first reference.
    /// Of a reference: what its process has of the object, such as permits of a semaphore. Of an
    /// item: how many bytes it has. Of an object: how many bytes its type has.
    SharedWord claim{0};

    [[nodiscard]] BlockKind block_kind() const noexcept {
        return static_cast<BlockKind>(kind.load(std::memory_order_acquire));
    }
    template <typename T>
    [[nodiscard]] T& content() noexcept {
        return *reinterpret_cast<T*>(this + 1);
    }
};
static_assert(sizeof(Block) == 64);

inline constexpr std::size_t smallest_block = 128;
inline constexpr std::size_t block_classes = 40;
inline constexpr std::size_t most_processes = 4096;
inline constexpr std::uint64_t arena_magic = 0x6d75'7374'6661'0006;

struct ArenaHeader {
    std::uint64_t magic = arena_magic;
    std::uint64_t family = 0;  ///< A random number: handles of other families are told from ours.
    Guard guard;               ///< Of all words of blocks and of those below, but the last four.
    os::RobustMutex sweeping;  ///< Of who gives back what dead processes had.
    SharedWord end{0};         ///< Where nothing was ever allocated.
    SharedWord identities{0};  ///< Those that objects have had.
    // What each change of the usual sizes needs shares a cache line.
    alignas(64) SharedWord used{0};  ///< Bytes of the blocks that are not free.
    std::array<SharedWord, block_classes> free{};
    /// Slot n is the process of this number (`os::process_number()`); 0: free. Slot 0 is nobody's.
    std::array<SharedWord, most_processes> processes{};
    /// The number of the process with which the one in slot n ends; 0: none.
    std::array<SharedWord, most_processes> parents{};
    /// 1: the one in slot n ends in order, as all that it was to do is done.
    std::array<SharedWord, most_processes> in_order{};
    SharedWord names{0};  ///< 1: one of them that has a parent uses names, or did.
};

}  // namespace muster::detail
