// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <limits>
#include <mutex>
#include <string>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/detail/threading/waiters.hpp>
#include <muster/errors.hpp>

namespace muster {
namespace detail {

/// Permits, at most `limit` of them. Whoever waits is handed the next one that comes back.
struct SemaphoreState {
    SemaphoreState(std::size_t permits, bool bounded)
        : value{permits}, limit{bounded ? permits : (std::numeric_limits<std::size_t>::max)()} {}

    bool acquire(const Deadline& deadline) {
        std::unique_lock held(mutex);
        if (value == 0) return !expired(deadline) && waiters.wait(held, deadline) != 0;
        --value;  // Nobody waits while there is one.
        return true;
    }

    void release(std::size_t count) {
        Chosen chosen;
        const std::lock_guard held(mutex);
        if (count > limit - value)
            throw InvalidStateError("muster: release(" + std::to_string(count) +
                                    ") of a semaphore that has " + std::to_string(value) +
                                    " permits of at most " + std::to_string(limit) +
                                    ": release only what was acquired");
        value += count - waiters.choose(chosen, count);
    }

    std::mutex mutex;
    std::size_t value;
    const std::size_t limit;
    Waiters waiters;
};

}  // namespace detail

namespace threading {

/// A number of permits: `acquire` takes one and waits when there is none, `release` gives back.
///
///     muster::threading::Semaphore connections{4};
///     connections.acquire();  // At most four threads are between these two.
///     connections.release();
///
/// Permits go to those who wait in the order in which they came. A copy is the same semaphore.
///
/// Thread safety: all members.
class Semaphore {
  public:
    /// One permit.
    Semaphore() : Semaphore(1) {}
    /// **Throws**: `std::invalid_argument` for a negative number.
    template <std::integral Count>
    explicit Semaphore(Count permits) : Semaphore(detail::checked_size(permits, 0, what), false) {}

    /// Takes a permit. **Blocks** until there is one.
    void acquire() const { state_->acquire(std::nullopt); }

    /// Takes a permit if there is one.
    [[nodiscard]] bool try_acquire() const { return state_->acquire(detail::at_once); }

    /// As `acquire`, for at most `timeout`; zero or less only tries. False when the time is up.
    template <typename Rep, typename Period>
    [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> timeout) const {
        return state_->acquire(detail::deadline_after(timeout));
    }

    /// Gives one permit back, or adds one: there may be more than at first.
    void release() const { state_->release(1); }
    /// The same for several. **Throws**: `std::invalid_argument` for less than 1.
    template <std::integral Count>
    void release(Count count) const {
        state_->release(detail::checked_size(count, 1, "what a semaphore releases"));
    }

  protected:
    static constexpr const char* what = "the permits of a semaphore";
    Semaphore(std::size_t permits, bool bounded) : state_{std::in_place, permits, bounded} {}

  private:
    detail::Handle<detail::SemaphoreState> state_;
};

/// A `Semaphore` that never has more permits than at first: a `release` that would exceed that
/// **throws** `InvalidStateError`, and changes nothing.
class BoundedSemaphore : public Semaphore {
  public:
    /// One permit.
    BoundedSemaphore() : BoundedSemaphore(1) {}
    /// **Throws**: `std::invalid_argument` for a negative number.
    template <std::integral Count>
    explicit BoundedSemaphore(Count permits)
        : Semaphore(detail::checked_size(permits, 0, what), true) {}
};

}  // namespace threading
}  // namespace muster
