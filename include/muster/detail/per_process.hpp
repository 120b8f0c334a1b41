// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <muster/detail/os.hpp>

namespace muster::detail {

/// The one `T` of this process, made at the first call and kept to the end.
///
/// A copy of the process, made by `fork`, gets its own: while it was made, another thread may have
/// held the original's lock. That stays as it was then, and nobody touches it.
/// **Throws**: what making a `T` throws. Thread safety: any thread.
template <typename T>
T& per_process() {
    struct Made {
        const std::uint64_t generation = os::fork_generation();
        T value;
    };
    static std::atomic<Made*> latest{nullptr};
    const std::uint64_t generation = os::fork_generation();
    Made* known = latest.load(std::memory_order_acquire);
    while (!known || known->generation != generation) {
        auto fresh = std::make_unique<Made>();
        if (latest.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel))
            known = fresh.release();
    }
    return known->value;
}

}  // namespace muster::detail
