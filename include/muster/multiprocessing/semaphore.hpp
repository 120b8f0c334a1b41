// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/family/shared_semaphore.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// A number of permits: `acquire` takes one and waits when there is none, `release` gives back.
///
///     muster::multiprocessing::Semaphore connections{4};
///     connections.acquire();  // At most four threads, of all processes, are between these two.
///     connections.release();
///
/// A copy is the same semaphore, in other processes too. What a process held when it was killed,
/// crashed or called `exit` is given back at once, if muster has started it. A task or process that
/// returns leaves the permits it has taken, as a thread does: others may release them.
///
/// Thread safety: all members.
class Semaphore {
  public:
    /// One permit.
    Semaphore() : Semaphore(1) {}
    /// **Throws**: `std::invalid_argument` for a negative number; `std::system_error`.
    template <std::integral Count>
    explicit Semaphore(Count permits) : Semaphore(detail::checked_size(permits, 0, what), false) {}

    /// Takes a permit. **Blocks** until there is one.
    void acquire() const { (void)handle_->acquire(handle_.own(), std::nullopt); }

    /// Takes a permit if there is one.
    [[nodiscard]] bool try_acquire() const {
        return handle_->acquire(handle_.own(), detail::at_once);
    }

    /// As `acquire`, for at most `timeout`; zero or less only tries. False when the time is up.
    template <typename Rep, typename Period>
    [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> timeout) const {
        return handle_->acquire(handle_.own(), detail::deadline_after(timeout));
    }

    /// Gives one permit back, or adds one: there may be more than at first.
    void release() const { release(1); }
    /// The same for several. **Throws**: `std::invalid_argument` for less than 1.
    template <std::integral Count>
    void release(Count count) const {
        const auto size = detail::checked_size(count, 1, "what a semaphore releases");
        handle_->release(handle_.memory(), handle_.own(), size);
    }

  protected:
    static constexpr const char* what = "the permits of a semaphore";
    Semaphore(std::size_t permits, bool bounded) : handle_{std::in_place, 0, permits, bounded} {}
    explicit Semaphore(Access::Unread) {}

  private:
    friend class muster::Access;
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(handle_);
    }

    detail::SharedHandle<detail::SharedSemaphore, detail::BlockKind::semaphore> handle_;
};

/// A `Semaphore` that never has more permits than at first: a `release` that would exceed that
/// **throws** `InvalidStateError`, and changes nothing.
class BoundedSemaphore : public Semaphore {
  public:
    /// One permit.
    BoundedSemaphore() : BoundedSemaphore(1) {}
    /// **Throws**: `std::invalid_argument` for a negative number; `std::system_error`.
    template <std::integral Count>
    explicit BoundedSemaphore(Count permits)
        : Semaphore(detail::checked_size(permits, 0, what), true) {}

  private:
    friend class muster::Access;
    explicit BoundedSemaphore(Access::Unread unread) : Semaphore(unread) {}
};

static_assert(Serializable<Semaphore> && Serializable<BoundedSemaphore>);

}  // namespace muster::multiprocessing
