// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_gate.hpp>

namespace muster::detail {

/// An event in the family's memory: whether it is set, and how often it was. One word, so that no
/// death can leave it half changed.
struct SharedEvent {
    static constexpr BlockKind kind = BlockKind::event;

    [[nodiscard]] bool is_set() const noexcept { return (word.load() & 1) != 0; }

    void set() noexcept {
        std::uint64_t seen = word.load();
        while ((seen & 1) == 0 && !word.compare_exchange_weak(seen, (seen + 2) | 1)) {
        }
        gate.notify_all();
    }
    void clear() noexcept { word.fetch_and(~std::uint64_t{1}); }

    /// Blocks: at most until the deadline. Who waited when it was set does not see it cleared.
    bool wait(const Deadline& deadline) {
        const std::uint64_t times = word.load() >> 1;
        return gate.wait_until(
            [&] {
                const std::uint64_t now = word.load();
                return (now & 1) != 0 || now >> 1 != times;
            },
            deadline);
    }

    void bury(Block&) noexcept { gate.notify_all(); }

    SharedWord word{0};
    SharedGate gate;
};

}  // namespace muster::detail
