// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace chaos {

/// Numbers that the seed decides: SplitMix64.
class Random {
  public:
    explicit Random(std::uint64_t seed) noexcept : state_{seed} {}

    std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15;
        std::uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31);
    }

    /// 0 to `end - 1`.
    std::uint32_t below(std::uint32_t end) noexcept {
        return static_cast<std::uint32_t>(next() % end);
    }
    std::uint32_t between(std::uint32_t least, std::uint32_t most) noexcept {
        return least + below(most - least + 1);
    }
    /// True once in so many times.
    bool once_in(std::uint32_t times) noexcept { return below(times) == 0; }

    /// A source of its own, for another thread or another round.
    Random split() noexcept { return Random(next()); }

  private:
    std::uint64_t state_;
};

}  // namespace chaos
