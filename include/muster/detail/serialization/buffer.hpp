// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace muster::detail {

class SharedReference;  // To an object that processes share.

/// A growing run of bytes that an Encoder writes to.
///
/// Its owner decides where the bytes live: on the heap, in shared memory. Only running out of room
/// costs a virtual call.
class ByteBuffer {
  public:
    ByteBuffer(const ByteBuffer&) = delete;
    ByteBuffer& operator=(const ByteBuffer&) = delete;

    std::byte* data = nullptr;
    std::size_t size = 0;
    std::size_t capacity = 0;

    /// What the bytes speak of, and what therefore has to live as long as they do.
    std::vector<std::shared_ptr<SharedReference>> kept;

    /// Makes room for `count` more bytes, and leaves `size` as it is.
    void reserve(std::size_t count) {
        if (count > capacity - size) grow(size + count);
    }

    void append(const void* bytes, std::size_t count) {
        if (count == 0) return;  // memcpy must not be handed the null pointer of an empty range.
        reserve(count);
        std::memcpy(data + size, bytes, count);
        size += count;
    }

  protected:
    ByteBuffer() noexcept = default;
    ~ByteBuffer() = default;

    /// Makes `capacity` at least `at_least_capacity`, keeping the first `size` bytes.
    virtual void grow(std::size_t at_least_capacity) = 0;
};

/// A ByteBuffer in memory of its own. New memory is not zeroed.
class HeapBuffer final : public ByteBuffer {
  public:
    HeapBuffer() noexcept = default;

  private:
    void grow(std::size_t at_least_capacity) override {
        const std::size_t room = (std::max)({at_least_capacity, 2 * capacity, std::size_t{64}});
        std::unique_ptr<std::byte[]> bigger(new std::byte[room]);
        if (size != 0) std::memcpy(bigger.get(), data, size);
        bytes_ = std::move(bigger);
        data = bytes_.get();
        capacity = room;
    }

    std::unique_ptr<std::byte[]> bytes_;
};

/// A ByteBuffer that becomes a vector without another copy.
class VectorBuffer final : public ByteBuffer {
  public:
    VectorBuffer() noexcept = default;

    [[nodiscard]] std::vector<std::byte> take() {
        bytes_.resize(size);
        return std::move(bytes_);
    }

  private:
    void grow(std::size_t at_least_capacity) override {
        bytes_.resize((std::max)({at_least_capacity, 2 * capacity, std::size_t{64}}));
        data = bytes_.data();
        capacity = bytes_.size();
    }

    std::vector<std::byte> bytes_;
};

}  // namespace muster::detail
