// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>

namespace muster::detail {

/// Where threads sleep until a condition that others change may have become true.
///
/// Thread safety: all members. Nobody is woken, and no system call made, while nobody waits.
// A model of the protocol stands in tests/models/gate.pml.
class Gate {
  public:
    /// Blocks until `ready()`. False when the deadline passed first.
    template <typename Ready>
    bool wait(Ready ready, const Deadline& deadline = std::nullopt) {
        if (ready()) return true;
        // seq_cst: either notify() sees the waiter, or ready() sees what was done before notify().
        waiters_.fetch_add(1, std::memory_order_seq_cst);
        bool is_ready = false;
        for (;;) {
            const std::uint32_t seen = turns_.load(std::memory_order_acquire);
            is_ready = ready();
            if (is_ready || !os::sleep_on(turns_, seen, deadline)) break;
        }
        waiters_.fetch_sub(1, std::memory_order_relaxed);
        return is_ready || ready();
    }

    /// Makes all who wait look again. Call it after the change, which must be a seq_cst operation.
    void notify() noexcept {
        if (waiters_.load(std::memory_order_seq_cst) == 0) return;
        turns_.fetch_add(1, std::memory_order_release);
        os::wake_all(turns_);
    }

    /// Makes one who waits look again: enough where a change lets only one go on, whoever it is.
    void notify_one() noexcept {
        if (waiters_.load(std::memory_order_seq_cst) == 0) return;
        turns_.fetch_add(1, std::memory_order_release);
        os::wake_one(turns_);
    }

    [[nodiscard]] bool watched() const noexcept {
        return waiters_.load(std::memory_order_seq_cst) != 0;
    }

  private:
    std::atomic<std::uint32_t> turns_{0};
    std::atomic<std::uint32_t> waiters_{0};
};

}  // namespace muster::detail
