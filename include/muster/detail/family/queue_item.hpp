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

/// Where an item is encoded: in the block that goes into the queue.
class ItemBuffer final : public ByteBuffer {
  public:
    /// For an item that is expected to need so many bytes.
    ItemBuffer(FamilyMemory& memory, std::size_t expected) : memory_{memory} {
        use(allocate_block(memory, expected, BlockKind::item));
    }
    ~ItemBuffer() {
        if (!block_) return;
        try {
            free_item(memory_, *block_);
        } catch (...) {  // The system refuses to lock: the block is given back with the process.
        }
    }

    /// The item with all that was encoded.
    Block& finish() {
        // relaxed: who gets it locks what it was put under.
        block_->claim.store(size, std::memory_order_relaxed);
        for (const auto& object : kept)
            add_reference(memory_, object->name(), object->kind(), block_->target);
        kept.clear();
        return *block_;
    }

    /// The item is the queue's now.
    void forget() noexcept { block_ = nullptr; }

  private:
    void grow(std::size_t at_least) override {
        Block& bigger = allocate_block(memory_, std::max(at_least, 2 * capacity), BlockKind::item);
        std::memcpy(&bigger.content<std::byte>(), data, size);
        Block* const smaller = block_;
        use(bigger);
        free_item(memory_, *smaller);
    }

    void use(Block& block) noexcept {
        block_ = &block;
        data = &block.content<std::byte>();
        capacity = block_bytes(block.size_class.load()) - sizeof(Block);
    }

    FamilyMemory& memory_;
    Block* block_ = nullptr;
};

/// An item that was taken from its queue; its block is given back with this.
class TakenItem {
  public:
    TakenItem(FamilyMemory& memory, Block& item) noexcept : memory_{memory}, item_{item} {}
    TakenItem(const TakenItem&) = delete;
    TakenItem& operator=(const TakenItem&) = delete;
    ~TakenItem() {
        try {
            free_item(memory_, item_);
        } catch (...) {  // The system refuses to lock: the block is given back with the process.
        }
    }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        // Other processes map it too: its size is believed only as far as the block goes.
        const std::size_t room = block_bytes(item_.size_class.load()) - sizeof(Block);
        return {&item_.content<std::byte>(), std::min<std::size_t>(item_.claim.load(), room)};
    }

  private:
    FamilyMemory& memory_;
    Block& item_;
};

}  // namespace muster::detail
