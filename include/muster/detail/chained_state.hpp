// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

#include <muster/detail/gate_continuation.hpp>
#include <muster/detail/shared_state.hpp>
#include <muster/detail/task_owner.hpp>

namespace muster {

template <typename T>
class Future;

namespace detail {

struct FutureAccess;

/// `T` for `Future<Future<T>>` and deeper.
template <typename T>
struct Unwrap {
    using type = T;
    static constexpr bool is_future = false;
};
template <typename T>
struct Unwrap<Future<T>> {
    using type = typename Unwrap<T>::type;
    static constexpr bool is_future = true;
};
template <typename T>
using Unwrapped = typename Unwrap<T>::type;

/// What `fn` gives for the value of a `Future<T>`: from a named future it sees `const T&`, from an
/// rvalue one `T&&`.
template <typename F, typename T, bool take>
struct LinkResult {
    using type = std::invoke_result_t<F, std::conditional_t<take, T&&, const T&>>;
};
template <typename F, bool take>
struct LinkResult<F, void, take> {
    using type = std::invoke_result_t<F>;
};

/// The state of `future.then(fn)`: a link that runs `fn` when the future before it is done, and, if
/// `fn` returns a future, passes that one's outcome on.
template <typename U, typename T, typename F, bool take>
class ChainedState final : public State<U>, private Link {
  public:
    template <typename Fn>
    ChainedState(Ref<State<T>> before, Fn&& fn)
        : owner_{before->owner()}, awaited_{Ref<StateBase>(std::move(before))} {
        std::construct_at(std::addressof(fn_), std::forward<Fn>(fn));
        if (owner_) owner_->retain();
    }

    /// Starts listening to `before`. Requires: it is the one given to the constructor.
    void link(StateBase& before) noexcept {
        this->retain();  // For the continuation.
        before.add_continuation(*this);
    }

    bool wait(const Deadline& deadline) noexcept override {
        return wait_composite(*this, deadline);
    }

    bool cancel() noexcept override {
        if (StateBase::cancel()) return true;
        const Ref<StateBase> inner = passed_on();
        return inner && inner->cancel();
    }
    bool request_stop() noexcept override {
        const Ref<StateBase> inner = passed_on();
        return inner && inner->request_stop();
    }
    bool kill() noexcept override {
        if (cancel()) return true;
        const Ref<StateBase> inner = passed_on();
        return inner && inner->kill();
    }
    bool help() noexcept override {
        // Not link by link: a long chain would take too much stack.
        const Ref<StateBase> state = end_of_chain();
        return state.get() != this && state->help();
    }
    void wake_helpers() noexcept override {
        const Ref<StateBase> state = end_of_chain();
        state.get() == this ? StateBase::wake_helpers() : state->wake_helpers();
    }
    Gate* gate_here() noexcept override {
        if (owner_)
            if (Gate* gate = owner_->gate_here()) return gate;
        Ref<StateBase> state = awaited();
        while (state) {
            if (TaskOwner* owner = state->owner())
                if (Gate* gate = owner->gate_here()) return gate;
            Ref<StateBase> before = state->awaited();
            if (!before) return state->gate_here();
            state = std::move(before);
        }
        return nullptr;
    }
    Ref<StateBase> awaited() noexcept override {
        const std::lock_guard held(awaited_lock_);
        return awaited_;
    }
    [[nodiscard]] TaskOwner* owner() const noexcept override { return owner_; }
    [[nodiscard]] bool orphaned() noexcept override {
        const Ref<StateBase> state = end_of_chain();
        return state.get() == this ? StateBase::orphaned() : state->orphaned();
    }

  private:
    ~ChainedState() override {
        ChainedState::drop_work();
        if (owner_) owner_->release();
    }

    void drop_work() noexcept override {
        if (std::exchange(has_fn_, false)) std::destroy_at(std::addressof(fn_));
    }

    /// What all links up to this one wait for; this one, if it waits for nothing.
    Ref<StateBase> end_of_chain() noexcept {
        Ref<StateBase> state = Ref<StateBase>::share(this);
        while (Ref<StateBase> before = state->awaited()) state = std::move(before);
        return state;
    }

    /// What `fn` returned, whose outcome it will have; null before.
    Ref<StateBase> passed_on() noexcept {
        return passing_on_.load(std::memory_order_acquire) ? awaited() : Ref<StateBase>();
    }

    Ref<StateBase> stop_awaiting() noexcept {
        const std::lock_guard held(awaited_lock_);
        return std::move(awaited_);
    }

    // The future before is done.
    Settled settle(StateBase& state) noexcept override {
        Ref<ChainedState> self = Ref<ChainedState>::adopt(this);
        const Ref<StateBase> before = stop_awaiting();
        if (!this->advance(Phase::pending, Phase::running)) return {};  // Cancelled meanwhile.
        auto& done = static_cast<State<T>&>(state);
        Continuation* callbacks = nullptr;
        if (done.phase() == Phase::cancelled) {
            drop_work();
            callbacks = this->publish(Phase::cancelled);
        } else if (std::exception_ptr error = done.error()) {
            drop_work();
            callbacks = this->publish_error(std::move(error));
        } else {
            callbacks = call(done);
        }
        return {std::move(self), callbacks};
    }

    Continuation* call(State<T>& done) noexcept {
        using Result = typename LinkResult<F, T, take>::type;
        try {
            const auto invoke = [&]() -> decltype(auto) {
                if constexpr (std::is_void_v<T>)
                    return std::invoke(std::move(fn_));
                else if constexpr (take)
                    return std::invoke(std::move(fn_), std::move(done.take()));
                else
                    return std::invoke(std::move(fn_), std::as_const(done.value()));
            };
            if constexpr (std::is_void_v<Result>) {
                invoke();
                drop_work();
                return settle_with(Nothing{});
            } else {
                auto result = invoke();
                drop_work();
                return settle_with(std::move(result));
            }
        } catch (...) {
            drop_work();
            return this->publish_error(std::current_exception());
        }
    }

    // These return the callbacks to be run, if the outcome is there.
    template <typename Result>
    Continuation* settle_with(Result&& result) {
        this->emplace_value(std::forward<Result>(result));
        return this->publish(Phase::succeeded);
    }
    template <typename V>
    Continuation* settle_with(Future<V>&& inner);

    /// Waits for the future that `fn` returned.
    template <typename V>
    class PassOn final : public Link {
      public:
        explicit PassOn(Ref<ChainedState> outer) : outer_{std::move(outer)} {}
        Settled settle(StateBase& state) noexcept override {
            const std::unique_ptr<PassOn> self(this);
            const Ref<StateBase> inner = outer_->stop_awaiting();
            auto& done = static_cast<State<V>&>(state);
            Continuation* callbacks = nullptr;
            if (done.phase() == Phase::cancelled)
                callbacks = outer_->publish(Phase::cancelled);
            else if (std::exception_ptr error = done.error())
                callbacks = outer_->publish_error(std::move(error));
            else
                callbacks = outer_->pass_on(done);
            return {std::move(outer_), callbacks};
        }

      private:
        friend class std::default_delete<PassOn>;
        ~PassOn() = default;
        Ref<ChainedState> outer_;
    };
    template <typename>
    friend class PassOn;

    template <typename V>
    Continuation* pass_on(State<V>& inner) noexcept {
        try {
            if constexpr (std::is_copy_constructible_v<Stored<V>>)
                return settle_with(Stored<V>(std::as_const(inner.value())));
            else
                return settle_with(Stored<V>(std::move(inner.take())));
        } catch (...) {
            return this->publish_error(std::current_exception());
        }
    }

    TaskOwner* const owner_;
    SpinLock awaited_lock_;
    Ref<StateBase> awaited_;  // The future before, then the one that fn returned.
    std::atomic<bool> passing_on_{false};
    union {
        F fn_;
    };
    bool has_fn_ = true;
};

}  // namespace detail
}  // namespace muster
