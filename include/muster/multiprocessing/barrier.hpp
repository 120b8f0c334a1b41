// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/function_name.hpp>
#include <muster/detail/family/shared_barrier.hpp>
#include <muster/detail/family/shared_reference.hpp>
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
    explicit Barrier(Count parties) : Barrier(Checked{checked(parties)}, nullptr) {}

    /// One of the threads, the last to come, calls `action()` before they all go on. If it throws,
    /// the barrier breaks, and that thread's `wait` throws the exception.
    ///
    /// `action` is a function, or a function object without data: it may run in any process.
    template <std::integral Count, std::invocable Action>
        requires std::is_empty_v<Action>
    Barrier(Count parties, Action) : Barrier(Checked{checked(parties)}, &call<Action>) {}
    template <std::integral Count>
    Barrier(Count parties, void (*action)()) : Barrier(Checked{checked(parties)}, action) {}

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
    using Function = void (*)();
    struct Checked {
        std::size_t parties;
    };

    explicit Barrier(Access::Unread) {}
    Barrier(Checked checked, Function action) {
        const detail::os::ModuleRef module =
            action ? detail::os::module_of(reinterpret_cast<const void*>(action)) : nullptr;
        if (action && !module)
            throw InvalidStateError(
                "muster: the action of a barrier is in no program or library file, so another "
                "process cannot find it");
        handle_ = Handle(std::in_place, module ? detail::FunctionName::bytes_for(*module) : 0,
                         checked.parties);
        if (!module) return;
        detail::FunctionName::write(name_place(), *module, reinterpret_cast<const void*>(action));
        handle_->has_action.store(1);
    }

    template <typename Count>
    static std::size_t checked(Count parties) {
        return detail::checked_size(parties, 1, "the parties of a barrier");
    }
    template <typename Action>
    static void call() {
        std::bit_cast<Action>(std::byte{})();
    }

    bool wait_until(const detail::Deadline& deadline, std::uint64_t& index) const {
        return handle_->wait(
            handle_.own(), deadline,
            [this] {
                if (handle_->has_action.load() == 0) return;
                reinterpret_cast<Function>(
                    const_cast<void*>(detail::FunctionName::read(name_place())))();
            },
            index);
    }
    [[nodiscard]] std::byte* name_place() const {
        return reinterpret_cast<std::byte*>(&*handle_ + 1);
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
