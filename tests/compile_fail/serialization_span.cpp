// refused: muster: a view does not own what it shows
// names: std::span<int
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <span>

int first(std::span<const std::byte> bytes) {
    return muster::deserialize<std::span<int>>(bytes)[0];
}
