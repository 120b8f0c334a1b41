// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include <muster/detail/os.hpp>

namespace muster::detail {

/// Tells the core that this is a waiting loop.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#else
    std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

/// Waits a few microseconds at most for `ready()`, without sleeping.
///
/// First with the core kept (64 pauses), because waking another core costs 20 us and more; then
/// letting others run, because on a busy machine the one we wait for may need this very core.
template <typename Ready>
bool spin_until(Ready ready) noexcept(noexcept(ready())) {
    for (int i = 0; i < 64; ++i) {
        if (ready()) return true;
        pause();
    }
    for (int i = 0; i < 8; ++i) {
        os::yield();
        if (ready()) return true;
    }
    return false;
}

/// A lock for a few instructions without a call into foreign code. Meets BasicLockable.
class SpinLock {
  public:
    void lock() noexcept {
        while (held_.exchange(true, std::memory_order_acquire)) {
            while (held_.load(std::memory_order_relaxed)) {
                if (!spin_until([&] { return !held_.load(std::memory_order_relaxed); }))
                    os::yield();
            }
        }
    }
    void unlock() noexcept { held_.store(false, std::memory_order_release); }

  private:
    std::atomic<bool> held_{false};
};

}  // namespace muster::detail
