// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/spin.hpp>

namespace muster::detail {

/// Where threads of any process of a family sleep until others have changed something.
///
/// A sleeper that is killed is forgotten by the system. It stays counted, which costs a system call
/// at each `notify`, and nothing else. A sleeper that is killed after it was woken has taken that
/// wake-up along: whoever sees to what the dead leave behind wakes all.
/// Thread safety: all members.
// A model of the protocol stands in tests/models/shared_gate.pml.
class SharedGate {
  public:
    /// Blocks until `attempt()` succeeds, and returns true; false when the deadline passed first.
    /// What `attempt` throws leaves it.
    template <typename Attempt>
    bool wait_until(Attempt attempt, const Deadline& deadline) {
        if (attempt()) return true;
        if (expired(deadline)) return false;
        std::uint32_t seen = turns_.load(std::memory_order_seq_cst);
        // Who is about to change something is often quicker than the system puts one to sleep.
        while (spin_until([&] { return turns_.load(std::memory_order_relaxed) != seen; })) {
            seen = turns_.load(std::memory_order_seq_cst);
            if (attempt()) return true;
            if (expired(deadline)) return false;
        }
        Sleeper counted(*this);
        for (;;) {
            // seq_cst, as the count is: either notify() sees the sleeper, or the attempt what was
            // changed before it.
            seen = turns_.load(std::memory_order_seq_cst);
            if (attempt()) return true;
            switch (os::sleep_counted(turns_, seen, deadline, os::Sharing::processes)) {
                case os::Awake::woken:
                    counted.was_woken();
                    try {
                        if (attempt()) return true;
                    } catch (...) {
                        notify(1);  // What it was woken for is there for another one.
                        throw;
                    }
                    counted.count();
                    break;
                case os::Awake::for_none:
                    break;
                case os::Awake::too_late:
                    return attempt();
            }
        }
    }

    /// Has as many of those who sleep look again. Call it after the change.
    void notify(std::uint64_t count) noexcept {
        turns_.fetch_add(1, std::memory_order_seq_cst);
        if (sleepers_.load(std::memory_order_seq_cst) == 0 || count == 0) return;
        constexpr std::uint64_t most = std::numeric_limits<int>::max();
        const int woken =
            os::wake(turns_, static_cast<int>(count < most ? count : most), os::Sharing::processes);
        // Who was woken does not count itself off: until it runs, others need not wake it again. To
        // die before this leaves too many counted, never too few.
        if (woken != 0)
            sleepers_.fetch_sub(static_cast<std::uint32_t>(woken), std::memory_order_relaxed);
    }
    void notify_all() noexcept { notify(~std::uint64_t{0}); }

  private:
    class Sleeper {
      public:
        explicit Sleeper(SharedGate& gate) noexcept : gate_{gate} { count(); }
        Sleeper(const Sleeper&) = delete;
        Sleeper& operator=(const Sleeper&) = delete;
        ~Sleeper() {
            if (counted_) gate_.sleepers_.fetch_sub(1, std::memory_order_relaxed);
        }
        void count() noexcept {
            gate_.sleepers_.fetch_add(1, std::memory_order_seq_cst);
            counted_ = true;
        }
        void was_woken() noexcept { counted_ = false; }

      private:
        SharedGate& gate_;
        bool counted_ = false;
    };

    std::atomic<std::uint32_t> turns_{0};
    std::atomic<std::uint32_t> sleepers_{0};
};

}  // namespace muster::detail
