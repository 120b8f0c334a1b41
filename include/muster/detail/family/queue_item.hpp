// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_queue.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/family/sweep.hpp>
#include <muster/detail/serialization/buffer.hpp>

namespace muster::detail {

/// What was encoded in an item's block.
inline std::span<const std::byte> item_bytes(Block& block) noexcept {
    // Other processes map it too: its size is believed only as far as the block goes.
    const std::size_t room = block_bytes(block.size_class.load()) - sizeof(Block);
    return {&block.content<std::byte>(), std::min<std::size_t>(block.claim.load(), room)};
}

/// Where an item is encoded: here as long as it is small, else in the block that goes into the queue.
class ItemBuffer final : public ByteBuffer {
  public:
    /// For an item that is expected to need so many bytes.
    explicit ItemBuffer(FamilyMemory& memory, std::size_t expected = 0) : memory_{memory} {
        data = item_.bytes.data();
        capacity = item_.bytes.size();
        reserve(expected);
    }
    ~ItemBuffer() {
        if (!item_.block) return;
        try {
            free_item(memory_, *item_.block);
        } catch (...) {  // The system refuses to lock: the block is given back with the process.
        }
    }

    /// The item with all that was encoded.
    const QueueItem& finish() {
        if (item_.block || !kept.empty()) (void)finish_block();
        item_.size = size;
        return item_;
    }
    /// The same, in a block in any case.
    Block& finish_block() {
        if (!item_.block) grow(size);
        // relaxed: who gets it locks what it was put under.
        item_.block->claim.store(size, std::memory_order_relaxed);
        for (const auto& object : kept)
            add_reference(memory_, object->name(), object->kind(), item_.block->target);
        kept.clear();
        return *item_.block;
    }

    /// The item is the queue's now.
    void forget() noexcept { item_.block = nullptr; }

  private:
    void grow(std::size_t at_least) override {
        const std::size_t twice = item_.block ? 2 * capacity : 0;  // The first is as it is needed.
        Block& bigger = allocate_block(memory_, std::max(at_least, twice), BlockKind::item);
        std::memcpy(&bigger.content<std::byte>(), data, size);
        Block* const smaller = std::exchange(item_.block, &bigger);
        data = &bigger.content<std::byte>();
        capacity = block_bytes(bigger.size_class.load()) - sizeof(Block);
        if (smaller) free_item(memory_, *smaller);
    }

    FamilyMemory& memory_;
    QueueItem item_;
};

/// An item that was taken from its queue, or is to be; what it takes of memory is given back with
/// this.
class TakenItem {
  public:
    explicit TakenItem(FamilyMemory& memory) noexcept : memory_{memory} {}
    TakenItem(FamilyMemory& memory, Block& block) noexcept : memory_{memory} {
        item.block = &block;
    }
    TakenItem(const TakenItem&) = delete;
    TakenItem& operator=(const TakenItem&) = delete;
    ~TakenItem() {
        try {
            free_item(memory_, item);
        } catch (...) {  // The system refuses to lock: the blocks are given back with the process.
        }
    }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        if (!item.block) return {item.bytes.data(), item.size};
        return item_bytes(*item.block);
    }

    QueueItem item;

  private:
    FamilyMemory& memory_;
};

}  // namespace muster::detail
