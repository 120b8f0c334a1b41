// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include <muster/detail/os.hpp>

namespace muster::detail {

/// The one `T` of this process, made when it is first asked for and kept to the end.
///
/// A copy of the process, made by `fork`, gets its own: while it was made, another thread may have
/// held the original's lock. That stays as it was then, and nobody touches it.
/// Thread safety: any thread.
template <typename T>
class PerProcess {
  public:
    /// **Throws**: what making a `T` throws.
    static T& get() {
        const std::uint64_t generation = os::fork_generation();
        Made* known = latest.load(std::memory_order_acquire);
        while (!known || known->generation != generation) {
            auto fresh = std::make_unique<Made>();
            if (latest.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel))
                known = fresh.release();
        }
        return known->value;
    }

    /// Null if nobody has asked for it in this process.
    static T* find() noexcept {
        Made* const known = latest.load(std::memory_order_acquire);
        return known && known->generation == os::fork_generation() ? &known->value : nullptr;
    }

  private:
    struct Made {
        const std::uint64_t generation = os::fork_generation();
        T value;
    };
    static constinit inline std::atomic<Made*> latest{nullptr};
};

template <typename T>
T& per_process() {
    return PerProcess<T>::get();
}

}  // namespace muster::detail
