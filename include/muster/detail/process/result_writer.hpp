// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/serialization/buffer.hpp>
#include <muster/detail/spin.hpp>

namespace muster::detail {

/// The worker's room for large results: up to 64 blocks behind the result ring, reused while their
/// pages are warm. The parent says when it has read one.
class LargeResults {
  public:
    LargeResults(WorkerPage& page, int fd, std::byte* memory, std::size_t bytes) noexcept
        : page_{page}, fd_{fd}, memory_{memory}, end_{bytes} {}

    /// A slot with room for `size` bytes, which is marked as in use.
    /// **Throws**: `std::bad_alloc` beyond the machine's memory.
    std::size_t take(std::size_t size) {
        std::size_t best = large_slots;
        while (best == large_slots) {
            std::size_t cached = 0;
            for (std::size_t i = 0; i < large_slots; ++i) {
                if (page_.large_in_use[i].load(std::memory_order_acquire) != 0) continue;
                cached += blocks_[i].capacity;
                if (best == large_slots || better(blocks_[i], blocks_[best], size)) best = i;
            }
            if (cached > most_cached) drop_free_pages();
            if (best == large_slots)
                os::yield();  // All are being read. The parent goes on reading.
        }
        if (blocks_[best].capacity < size) {
            os::discard(fd_, blocks_[best].offset, blocks_[best].capacity);
            blocks_[best] = {};
            const std::size_t capacity = std::bit_ceil(size);
            if (capacity < size || capacity > end_ - next_) throw std::bad_alloc();
            blocks_[best] = {std::exchange(next_, next_ + capacity), capacity};
        }
        page_.large_in_use[best].store(1, std::memory_order_relaxed);
        return best;
    }
    void give_back(std::size_t slot) noexcept {
        page_.large_in_use[slot].store(0, std::memory_order_release);
    }

    [[nodiscard]] Offset offset(std::size_t slot) const noexcept { return blocks_[slot].offset; }
    [[nodiscard]] std::byte* data(std::size_t slot) const noexcept {
        return memory_ + blocks_[slot].offset;
    }
    [[nodiscard]] std::size_t capacity(std::size_t slot) const noexcept {
        return blocks_[slot].capacity;
    }

  private:
    static constexpr std::size_t most_cached = std::size_t{256} << 20;

    struct Block {
        Offset offset = 0;
        std::size_t capacity = 0;
    };

    /// The smallest that is large enough; else the smallest, to be replaced.
    static bool better(const Block& one, const Block& other, std::size_t size) noexcept {
        const bool one_fits = one.capacity >= size;
        const bool other_fits = other.capacity >= size;
        if (one_fits != other_fits) return one_fits;
        return one.capacity < other.capacity;
    }

    void drop_free_pages() noexcept {
        for (std::size_t i = 0; i < large_slots; ++i)
            if (page_.large_in_use[i].load(std::memory_order_acquire) == 0)
                os::discard(fd_, blocks_[i].offset, blocks_[i].capacity);
    }

    WorkerPage& page_;
    int fd_;
    std::byte* memory_;
    std::size_t next_ = large_results_offset;
    std::size_t end_;
    std::array<Block, large_slots> blocks_{};
};

/// Where a worker encodes a result: small ones here, large ones where the parent reads them.
class ResultBuffer final : public ByteBuffer {
  public:
    explicit ResultBuffer(LargeResults& large) noexcept : large_{large} { clear(); }

    /// Starts anew, dropping what was written.
    void clear() noexcept {
        if (slot_ != none) large_.give_back(std::exchange(slot_, none));
        kept.clear();
        data = small_.data();
        capacity = small_.size();
        size = 0;
    }
    [[nodiscard]] bool is_large() const noexcept { return slot_ != none; }

    /// The large result, which is the parent's to give back.
    LargeResult take_large() noexcept {
        const LargeResult taken{slot_, large_.offset(slot_), size};
        slot_ = none;
        clear();
        return taken;
    }

  private:
    static constexpr std::size_t none = large_slots;

    void grow(std::size_t at_least) override {
        const std::size_t slot = large_.take(std::max(at_least, 2 * capacity));
        std::memcpy(large_.data(slot), data, size);
        if (slot_ != none) large_.give_back(slot_);
        slot_ = slot;
        data = large_.data(slot);
        capacity = large_.capacity(slot);
    }

    LargeResults& large_;
    std::size_t slot_ = none;
    std::array<std::byte, largest_ring_result> small_;
};

/// Sleeps until the parent has changed something, unless `ready()`.
template <typename Ready>
void sleep_until_rung(WorkerPage& page, Ready ready) {
    // seq_cst: either the parent sees that we sleep, or we see what it changed.
    page.asleep.store(1, std::memory_order_seq_cst);
    if (!ready()) os::sleep_on(page.asleep, 1, std::nullopt, os::Sharing::processes);
    page.asleep.store(0, std::memory_order_relaxed);
}

/// The worker's end of the result ring.
class ResultWriter {
  public:
    ResultWriter(WorkerPage& page, std::byte* ring, const PoolPage& pool, os::Bell& bell,
                 os::Bell& leader_bell) noexcept
        : page_{page}, ring_{ring}, pool_{pool}, bell_{bell}, leader_bell_{leader_bell} {}

    /// Publishes a result. Once this returns, it is not lost if the worker dies.
    ///
    /// **Blocks** while the ring is full.
    void publish(ResultHeader header, const void* bytes, std::size_t size) {
        header.size = static_cast<std::uint32_t>(size);
        const std::size_t whole = align_up(sizeof header + size, 16);
        const std::size_t to_end = result_ring_bytes - written_ % result_ring_bytes;
        if (whole > to_end) pad(to_end);
        wait_for_room(whole);
        std::byte* const place = ring_ + written_ % result_ring_bytes;
        std::memcpy(place, &header, sizeof header);
        if (size != 0) std::memcpy(place + sizeof header, bytes, size);
        written_ += whole;
        // seq_cst: either the parent, about to sleep, sees the result, or we see that it sleeps.
        page_.published.store(written_, std::memory_order_seq_cst);
        ring_bell();
        if (!kept_.empty()) drop_received();
    }

    /// Keeps what the result that is about to be published speaks of, until the parent has read it.
    void keep(std::vector<std::shared_ptr<SharedReference>> objects) {
        for (auto& object : objects) kept_.emplace_back(0, std::move(object));
    }

  private:
    void drop_received() {
        const std::uint64_t received = page_.received.load(std::memory_order_acquire);
        for (auto& [end, object] : kept_)
            if (end == 0) end = written_;
        std::erase_if(kept_, [&](const auto& each) { return each.first <= received; });
    }

    void pad(std::size_t bytes) {
        wait_for_room(bytes);
        ResultHeader padding;
        if (bytes >= sizeof padding) {
            padding.size = static_cast<std::uint32_t>(bytes - sizeof padding);
            std::memcpy(ring_ + written_ % result_ring_bytes, &padding, sizeof padding);
        }
        written_ += bytes;  // A rest too small for a header is skipped by both sides.
    }

    void wait_for_room(std::size_t bytes) {
        const auto has_room = [&] {
            return written_ + bytes - page_.received.load(std::memory_order_seq_cst) <=
                   result_ring_bytes;
        };
        while (!has_room()) {
            ring_bell();
            if (spin_until(has_room)) return;
            sleep_until_rung(page_, has_room);
        }
    }

    /// Rings once each time the parent stops receiving, and not while it does receive.
    void ring_bell() noexcept {
        if (pool_.receivers.load(std::memory_order_seq_cst) != 0) return;
        const std::uint32_t epoch = pool_.bell_epoch.load(std::memory_order_seq_cst);
        if (rung_ && rung_epoch_ == epoch) return;
        rung_ = true;
        rung_epoch_ = epoch;
        (pool_.leader.load(std::memory_order_seq_cst) != 0 ? leader_bell_ : bell_).ring();
    }

    WorkerPage& page_;
    std::byte* ring_;
    const PoolPage& pool_;
    os::Bell& bell_;
    os::Bell& leader_bell_;
    std::uint64_t written_ = 0;
    /// What results speak of that end there in the ring; 0: the next one.
    std::vector<std::pair<std::uint64_t, std::shared_ptr<SharedReference>>> kept_;
    bool rung_ = false;
    std::uint32_t rung_epoch_ = 0;
};

}  // namespace muster::detail
