// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/serialization/buffer.hpp>
#include <muster/detail/spin.hpp>

namespace muster::detail {

/// More address space than could ever be filled, because blocks of one size never become blocks of
/// another: a memory without a name costs only what is used.
inline std::size_t reserved_bytes() noexcept {
    constexpr std::size_t least = std::size_t{1} << 30;
    constexpr std::size_t most = std::size_t{1} << 42;
    return std::clamp(16 * std::bit_ceil(os::physical_memory()), least, most);
}

/// The same for each of so many workers: all of them leave most addresses of their parent's, which
/// are 2^47 bytes, to the program.
inline std::size_t reserved_bytes(std::size_t workers) noexcept {
    constexpr std::size_t least = std::size_t{1} << 30;
    constexpr std::size_t all = std::size_t{1} << 45;
    return std::min(reserved_bytes(), std::max(least, std::bit_floor(all / workers)));
}

/// The pool's memory, as the parent sees it: blocks of powers of two, recycled while their pages
/// are warm. What is free and who owns what is known in the parent's own memory only.
///
/// Thread safety: all members.
class PoolMemory {
  public:
    PoolMemory() : PoolMemory(os::anonymous_memory("muster-pool", reserved_bytes())) {
        mapping_.keep_from_copies();
        new (mapping_.data()) PoolPage;
        next_ = align_up(sizeof(PoolPage), page_bytes);
    }

    [[nodiscard]] const os::PrivateFd& fd() const noexcept { return fd_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return mapping_.size(); }
    [[nodiscard]] PoolPage& page() const noexcept { return *at<PoolPage>(0); }
    template <typename T>
    [[nodiscard]] T* at(Offset offset) const noexcept {
        return std::launder(reinterpret_cast<T*>(mapping_.data() + offset));
    }

    [[nodiscard]] void* place(Offset offset) const noexcept { return mapping_.data() + offset; }

    /// A block of at least `size` bytes. **Throws**: `std::bad_alloc` beyond the machine's memory.
    Offset allocate(std::size_t size) {
        const std::size_t kind = kind_of(size);
        const std::lock_guard held(lock_);
        std::vector<Offset>& free = free_[kind];
        if (!free.empty()) {
            const Offset block = free.back();
            free.pop_back();
            if (block_bytes(kind) >= large) cached_ -= std::min(cached_, block_bytes(kind));
            return block;
        }
        if (block_bytes(kind) > mapping_.size() - next_) throw std::bad_alloc();
        return std::exchange(next_, next_ + block_bytes(kind));
    }

    /// Gives a block of `size` bytes back.
    void free(Offset block, std::size_t size) noexcept {
        const std::size_t kind = kind_of(size);
        bool cold = false;
        {
            const std::lock_guard held(lock_);
            if (block_bytes(kind) >= large) {
                cold = cached_ + block_bytes(kind) > most_cached;
                if (!cold) cached_ += block_bytes(kind);
            }
        }
        // Outside the lock: a system call. The block is nobody's yet.
        if (cold) os::discard(fd_.get(), block, block_bytes(kind));
        const std::lock_guard held(lock_);
        free_[kind].push_back(block);
    }

    /// The bytes a block for `size` really has.
    static std::size_t capacity_for(std::size_t size) noexcept {
        return block_bytes(kind_of(size));
    }

  private:
    explicit PoolMemory(os::Fd fd)
        : mapping_{os::Mapping::read_write(fd, 0, reserved_bytes())}, fd_{std::move(fd)} {}

    static constexpr std::size_t smallest = 128;
    static constexpr std::size_t large = std::size_t{1} << 20;
    static constexpr std::size_t most_cached = std::size_t{256} << 20;
    static constexpr std::size_t kinds = 40;

    static std::size_t kind_of(std::size_t size) noexcept {
        return static_cast<std::size_t>(
            std::countr_zero(std::bit_ceil(std::max(size, smallest)) / smallest));
    }
    static std::size_t block_bytes(std::size_t kind) noexcept { return smallest << kind; }

    os::Mapping mapping_;
    os::PrivateFd fd_;  // A copy of this process that lives on must not keep the pages.
    SpinLock lock_;
    std::array<std::vector<Offset>, kinds> free_;
    std::size_t next_ = 0;
    std::size_t cached_ = 0;  // Bytes of large blocks that are free and still have their pages.
};

/// A block that is given back with this.
class PoolBlock {
  public:
    /// **Throws**: `std::bad_alloc`.
    PoolBlock(PoolMemory& memory, std::size_t size)
        : memory_{memory}, size_{size}, offset_{memory.allocate(size)} {}
    PoolBlock(const PoolBlock&) = delete;
    PoolBlock& operator=(const PoolBlock&) = delete;
    ~PoolBlock() { memory_.free(offset_, size_); }

    [[nodiscard]] Offset offset() const noexcept { return offset_; }

  private:
    PoolMemory& memory_;
    std::size_t size_;
    Offset offset_;
};

/// Where a task is encoded: small ones here, and copied when their size is known; large ones in
/// place, so that their bytes are written once.
class RecordBuffer final : public ByteBuffer {
  public:
    explicit RecordBuffer(PoolMemory& memory) noexcept : memory_{memory} {
        data = small_.data();
        capacity = small_.size();
        size = sizeof(Record);
    }
    ~RecordBuffer() {
        if (block_size_ != 0) memory_.free(block_, block_size_);
    }

    /// The record with everything written, which is the caller's to free.
    std::pair<Offset, std::size_t> take() {
        const std::size_t total = size;
        if (block_size_ == 0) {
            block_ = memory_.allocate(total);
            block_size_ = total;
            std::memcpy(memory_.at<std::byte>(block_), data, total);
        }
        return {block_, std::exchange(block_size_, 0)};
    }

  private:
    void grow(std::size_t at_least) override {
        // At least doubled: appending many small pieces must not copy all each time.
        const std::size_t wanted = std::max(at_least, 2 * capacity);
        const Offset bigger = memory_.allocate(wanted);
        std::memcpy(memory_.at<std::byte>(bigger), data, size);
        if (block_size_ != 0) memory_.free(block_, block_size_);
        block_ = bigger;
        block_size_ = wanted;
        data = memory_.at<std::byte>(bigger);
        capacity = PoolMemory::capacity_for(wanted);
    }

    PoolMemory& memory_;
    Offset block_ = 0;
    std::size_t block_size_ = 0;  // 0: still in small_.
    alignas(16) std::array<std::byte, 512> small_;
};

}  // namespace muster::detail
