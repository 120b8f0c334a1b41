// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/barrier_state.hpp>
#include <muster/detail/threading/handle.hpp>

namespace muster::threading {

/// Lets threads go on when as many as it was made for have come, again and again.
///
///     muster::threading::Barrier barrier{2, [] { std::puts("both are here"); }};
///     muster::threading::Thread other{[barrier] { barrier.wait(); }};
///     other.start();
///     barrier.wait();
///
/// | state    | wait()                            | abort()                    | reset()          |
/// |----------|-----------------------------------|----------------------------|------------------|
/// | whole    | waits for the others              | breaks it                  | who waits throws |
/// | broken   | throws BrokenBarrierError         | does nothing               | makes it whole   |
///
/// All who wait when it breaks, or is reset, get `BrokenBarrierError`. A copy is the same barrier.
///
/// Thread safety: all members, also called by the action.
class Barrier {
  public:
    /// For so many threads. **Throws**: `std::invalid_argument` for less than 1.
    template <std::integral Count>
    explicit Barrier(Count parties) : Barrier(parties, nullptr) {}
    /// One of the threads, the last to come, calls `action()` before they all go on. If it throws,
    /// the barrier breaks, and that thread's `wait` throws the exception.
    template <std::integral Count>
    Barrier(Count parties, std::function<void()> action)
        : state_{std::in_place, detail::checked_size(parties, 1, "the parties of a barrier"),
                 std::move(action)} {}

    /// Waits until all have come. Returns how many came before this one: 0 to `parties() - 1`.
    ///
    /// **Throws**: `BrokenBarrierError` when the barrier is broken, or breaks meanwhile.
    std::size_t wait() const { return *state_->wait(std::nullopt); }

    /// As `wait`, for at most `timeout`. False when the time is up: the barrier is broken then.
    ///
    /// **Throws**: as `wait`.
    template <typename Rep, typename Period>
    bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
        return state_->wait(detail::deadline_after(timeout)).has_value();
    }

    /// Breaks it.
    void abort() const { state_->abort(); }
    /// Makes it as new.
    void reset() const { state_->reset(); }

    /// How many it waits for.
    [[nodiscard]] std::size_t parties() const { return state_->parties(); }
    /// How many have come and wait.
    [[nodiscard]] std::size_t n_waiting() const { return state_->waiting(); }
    [[nodiscard]] bool broken() const { return state_->broken(); }

  private:
    detail::Handle<detail::BarrierState> state_;
};

}  // namespace muster::threading
