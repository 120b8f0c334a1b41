// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

#include <muster/detail/family/arena.hpp>
#include <muster/detail/os.hpp>

namespace muster::detail {

/// In front of bytes that processes share.
struct alignas(64) SharedBytes {
    /// Requires: `wanted` bytes follow. Those of large blocks are zeros but for their ends.
    explicit SharedBytes(std::size_t wanted) : size{wanted} {
        // Another object may have been here. Of large blocks only the pages at the ends remain.
        const std::size_t edge = wanted < zeroed_from ? wanted : os::page_size();
        std::memset(data(), 0, edge);
        std::memset(data() + size - edge, 0, edge);
    }
    [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }

    // With a name: nothing of them counts when nobody uses them, and they can be unmapped any time.
    [[nodiscard]] static bool outlasts_users() noexcept { return false; }
    [[nodiscard]] static bool held_by_process() noexcept { return false; }

    std::uint64_t size;
};

/// The bytes of `count` elements. **Throws**: `std::bad_alloc` beyond what any machine has.
inline std::size_t checked_bytes(std::size_t count, std::size_t bytes_each) {
    if (count > (std::numeric_limits<std::size_t>::max)() / 2 / bytes_each) throw std::bad_alloc();
    return count * bytes_each;
}

}  // namespace muster::detail
