// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/barrier_action.hpp>
#include <muster/detail/family/shared_barrier.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/process/callable_codec.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/errors.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// Lets threads of several processes go on when as many as it was made for have come, again and
/// again.
///
///     muster::multiprocessing::Barrier barrier{2, [] { std::puts("both are here"); }};
///     auto other = pool.submit([](muster::multiprocessing::Barrier its) { its.wait(); }, barrier);
///     barrier.wait();
///
/// | state    | wait()                            | abort()                    | reset()          |
/// |----------|-----------------------------------|----------------------------|------------------|
/// | whole    | waits for the others              | breaks it                  | who waits throws |
/// | broken   | throws BrokenBarrierError         | does nothing               | makes it whole   |
///
/// All who wait when it breaks, or is reset, get `BrokenBarrierError`. It also breaks, at once, when a
/// process dies that has it, if muster has started that. A copy is the same barrier, in other
/// processes too.
///
/// Thread safety: all members.
class Barrier {
  public:
    /// For so many threads. **Throws**: `std::invalid_argument` for less than 1; `std::system_error`.
    template <std::integral Count>
    explicit Barrier(Count parties)
        : handle_{std::in_place, 0, detail::checked_size(parties, 1, "the parties of a barrier")} {}

    /// One of the threads, the last to come, calls `action()` before they all go on. If it throws,
    /// the barrier breaks, and that thread's `wait` throws the exception.
    ///
    ///     struct Count {
    ///         muster::multiprocessing::Value<int> rounds;
    ///         void operator()() const { rounds.update([](int& n) { ++n; }); }
    ///     };
    ///     muster::multiprocessing::Value<int> rounds{0};
    ///     muster::multiprocessing::Barrier barrier{2, Count{rounds}};
    ///
    /// `action` may be what a `Process` takes. It may run in any process: each call is of a new copy,
    /// as it was given. What it returns is ignored.
    ///
    /// **Throws**: as above; what serializing the action throws.
    template <std::integral Count, typename Action>
        requires std::invocable<Action&>
    Barrier(Count parties, Action action) : Barrier(parties) {
        if constexpr (detail::check_crossable_callable<Action>()) set_action(action);
    }
    /// The same for an overloaded function.
    template <std::integral Count>
    Barrier(Count parties, void (*action)()) : Barrier(parties) {
        set_action(action);
    }

    /// Waits until all have come. Returns how many came before this one: 0 to `parties() - 1`.
    ///
    /// **Throws**: `BrokenBarrierError` when the barrier is broken, or breaks meanwhile.
    std::size_t wait() const {
        std::uint64_t index = 0;
        (void)wait_until(std::nullopt, index);
        return index;
    }

    /// As `wait`, for at most `timeout`. False when the time is up: the barrier is broken then.
    ///
    /// **Throws**: as `wait`.
    template <typename Rep, typename Period>
    bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
        std::uint64_t index = 0;
        return wait_until(detail::deadline_after(timeout), index);
    }

    /// Breaks it.
    void abort() const { handle_->abort(); }
    /// Makes it as new.
    void reset() const { handle_->reset(); }

    /// How many it waits for.
    [[nodiscard]] std::size_t parties() const { return handle_->parties.load(); }
    /// How many have come and wait.
    [[nodiscard]] std::size_t n_waiting() const {
        return handle_->phase() == detail::SharedBarrier::Phase::filling ? handle_->inside.load()
                                                                         : 0;
    }
    [[nodiscard]] bool broken() const { return handle_->broken(); }

  private:
    friend class muster::Access;

    explicit Barrier(Access::Unread) {}

    template <typename Action>
    void set_action(const Action& action) {
        if constexpr (std::is_pointer_v<Action>)
            if (!action) return;
        detail::set_action(handle_.memory(), *handle_, action);
    }

    bool wait_until(const detail::Deadline& deadline, std::uint64_t& index) const {
        return handle_->wait(
            handle_.own(), deadline, [this] { detail::run_action(handle_.memory(), *handle_); },
            index);
    }

    template <typename Archive>
    void serialize(Archive& ar) {
        ar(handle_);
    }

    using Handle = detail::SharedHandle<detail::SharedBarrier, detail::BlockKind::barrier>;
    Handle handle_;
};

static_assert(Serializable<Barrier>);

}  // namespace muster::multiprocessing
