// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/gate.hpp>

namespace muster::detail {

/// Bounds how many tasks are accepted and not yet finished.
class Admission {
  public:
    /// Zero: no bound.
    explicit Admission(std::size_t limit) noexcept
        : bounded_{limit != 0}, room_{static_cast<std::int64_t>(limit)} {}

    [[nodiscard]] bool bounded() const noexcept { return bounded_; }

    /// False when there is no room.
    bool try_enter() noexcept {
        if (!bounded_) return true;
        std::int64_t room = room_.load(std::memory_order_seq_cst);
        while (room > 0)
            if (room_.compare_exchange_weak(room, room - 1, std::memory_order_seq_cst)) return true;
        return false;
    }

    /// Enters over the limit. For the pool's own tasks, which would otherwise wait for themselves.
    void enter_exempt() noexcept {
        if (bounded_) room_.fetch_sub(1, std::memory_order_seq_cst);
    }

    /// Waits for room. False when `closed()` became true, or the deadline passed, instead.
    template <typename Closed>
    bool enter(Closed closed, const Deadline& deadline) {
        bool entered = false;
        gate_.wait([&] { return closed() || (entered = try_enter()); }, deadline);
        return entered;
    }

    void leave() noexcept {
        if (!bounded_) return;
        room_.fetch_add(1, std::memory_order_seq_cst);
        gate_.notify_one();  // There is room for one: to wake all would cost each task all of them.
    }

    /// Makes those who wait for room look at `closed()` again.
    void notify() noexcept { gate_.notify(); }

  private:
    bool bounded_;
    std::atomic<std::int64_t> room_;
    Gate gate_;
};

}  // namespace muster::detail
