// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <muster/detail/family/arena_layout.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/per_process.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/spin.hpp>

namespace muster::detail {

/// This process's view of the memory that its family shares.
///
/// The first process of a family makes it, workers inherit it, copies made by `fork` have it. It is
/// there as long as a pool or a process needs it, and for good once a lock, a queue or the like was
/// used.
/// Thread safety: all members.
class FamilyMemory {
  public:
    /// The one of this process, made if there is none yet. **Throws**: `std::system_error`.
    static std::shared_ptr<FamilyMemory> own() {
        Known& known = per_process<Known>();
        const std::lock_guard held(known.lock);
        auto memory = known.memory.lock();
        if (!memory) {
            memory = std::make_shared<FamilyMemory>(Token{});
            known.memory = memory;
        }
        return memory;
    }
    /// The same, for objects in it: it stays to the end of the process.
    ///
    /// A mutex that a thread holds is in a list that the system reads when the thread ends, and the
    /// thread when it locks others: it must not vanish from memory, whoever drops the last handle.
    static std::shared_ptr<FamilyMemory> for_objects() {
        auto memory = own();
        Known& known = per_process<Known>();
        const std::lock_guard held(known.lock);
        known.kept = memory;
        return memory;
    }
    /// The one of this process, if there is one.
    static std::shared_ptr<FamilyMemory> existing() {
        Known& known = per_process<Known>();
        const std::lock_guard held(known.lock);
        return known.memory.lock();
    }

  private:
    struct Token {};

  public:
    explicit FamilyMemory(Token) {
        const WorkerLink& link = own_worker_link();
        if (link.page) {
            raw_ = link.fd(Inherited::family);
        } else {
            // By the system, not by a variable: each shared library may have its own.
            fd_ = os::find_memory(label);
            const bool first = !fd_;
            if (first) fd_ = os::anonymous_memory(label, arena_bytes());
            raw_ = fd_.get();
            if (first) make_arena();
        }
        if (!mapping_.data()) mapping_ = os::Mapping::read_write(raw_, 0, arena_bytes());
        if (header().magic != arena_magic)
            throw std::runtime_error(
                "muster: the memory shared with the parent is not as expected");
    }

    [[nodiscard]] int fd() const noexcept { return raw_; }
    [[nodiscard]] ArenaHeader& header() const noexcept {
        return *std::launder(reinterpret_cast<ArenaHeader*>(mapping_.data()));
    }
    [[nodiscard]] std::size_t bytes() const noexcept { return mapping_.size(); }
    [[nodiscard]] Block& block(ArenaOffset offset) const noexcept {
        return *std::launder(reinterpret_cast<Block*>(mapping_.data() + offset));
    }
    [[nodiscard]] ArenaOffset offset_of(const Block& block) const noexcept {
        return static_cast<ArenaOffset>(reinterpret_cast<const std::byte*>(&block) -
                                        mapping_.data());
    }

    /// The slot of this process in the arena's table, taken at the first call.
    ///
    /// **Throws**: `std::runtime_error` if there are too many processes.
    std::uint64_t slot() {
        const std::uint64_t generation = os::fork_generation();
        // acquire: pairs with keep_slot().
        if (slot_owner_.load(std::memory_order_acquire) == generation)
            return slot_.load(std::memory_order_relaxed);
        return take_slot(generation);
    }

    /// Whether this process, a `Process`, ends by an error: what it lets go of then is given back, as
    /// it is of the dead. In its page, because it is of all shared libraries, and of handles that were
    /// made before this process was copied.
    static void set_dying(bool dies) noexcept {
        own_worker_page()->dying.store(dies ? os::fork_generation() : 0, std::memory_order_relaxed);
    }
    [[nodiscard]] static bool dying() {
        const WorkerPage* const page = own_worker_page();
        return page && page->dying.load(std::memory_order_relaxed) == os::fork_generation();
    }

    /// This process ends in order. What it has of objects is let go of then, instead of given back.
    void end_in_order() {
        const std::uint64_t generation = os::fork_generation();
        for (std::uint64_t i = 1; i < most_processes; ++i)
            if (header().processes[i].load(std::memory_order_acquire) == generation)
                header().in_order[i].store(1, std::memory_order_release);
    }

  private:
    static constexpr const char* label = "muster-family";

    struct Known {
        SpinLock lock;
        std::weak_ptr<FamilyMemory> memory;
        std::shared_ptr<FamilyMemory> kept;
    };

    /// More address space than will ever be filled: it costs only what is used.
    static std::size_t arena_bytes() noexcept {
        constexpr std::size_t least = std::size_t{1} << 30;
        constexpr std::size_t most = std::size_t{1} << 40;
        return std::clamp(4 * std::bit_ceil(os::physical_memory()), least, most);
    }

    void make_arena() {
        mapping_ = os::Mapping::read_write(raw_, 0, arena_bytes());
        auto& header = *new (mapping_.data()) ArenaHeader;
        const auto nonce = os::random_nonce();
        std::memcpy(&header.family, nonce.data(), sizeof header.family);
        header.end.store((sizeof(ArenaHeader) + 4095) / 4096 * 4096, std::memory_order_release);
    }

    std::uint64_t take_slot(std::uint64_t generation) {
        const std::lock_guard held(per_process<Known>().lock);
        auto& processes = header().processes;
        // Another library of this process may have one already.
        for (std::uint64_t i = 1; i < most_processes; ++i)
            if (processes[i].load(std::memory_order_acquire) == generation)
                return keep_slot(generation, i);
        for (std::uint64_t i = 1; i < most_processes; ++i) {
            std::uint64_t nobody = 0;
            if (!processes[i].compare_exchange_strong(nobody, generation,
                                                      std::memory_order_acq_rel))
                continue;
            const WorkerPage* const page = own_worker_page();
            header().parents[i].store(page ? page->parent : 0, std::memory_order_release);
            return keep_slot(generation, i);
        }
        throw std::runtime_error("muster: more than " + std::to_string(most_processes - 1) +
                                 " processes share locks, queues and the like");
    }
    std::uint64_t keep_slot(std::uint64_t generation, std::uint64_t slot) noexcept {
        slot_.store(slot, std::memory_order_relaxed);
        slot_owner_.store(generation, std::memory_order_release);
        return slot;
    }

    os::Fd fd_;  // Empty in workers: theirs stays open as long as they live.
    int raw_ = -1;
    os::Mapping mapping_;
    std::atomic<std::uint64_t> slot_{0};
    std::atomic<std::uint64_t> slot_owner_{0};  // Which process, or copy of it, has that slot.
};

}  // namespace muster::detail
