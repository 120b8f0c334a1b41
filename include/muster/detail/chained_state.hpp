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
class ChainedState final : public State<U>, private Continuation {
  public:
    template <typename Fn>
    ChainedState(Ref<State<T>> before, Fn&& fn)
        : Continuation(Kind::callback),
          owner_{before->owner()},
          awaited_{Ref<StateBase>(std::move(before))} {
        std::construct_at(&fn_, std::forward<Fn>(fn));
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
        const Ref<StateBase> inner = passing_on_.load(std::memory_order_acquire) ? awaited()
                                                                                 : Ref<StateBase>();
        return inner && inner->cancel();
    }
    bool request_stop() noexcept override {
        const Ref<StateBase> inner = passing_on_.load(std::memory_order_acquire) ? awaited()
                                                                                 : Ref<StateBase>();
        return inner && inner->request_stop();
    }
    bool help() noexcept override {
        const Ref<StateBase> state = awaited();
        return state && state->help();
    }
    Gate* gate_here() noexcept override {
        if (owner_)
            if (Gate* gate = owner_->gate_here()) return gate;
        const Ref<StateBase> state = awaited();
        return state ? state->gate_here() : nullptr;
    }
    [[nodiscard]] TaskOwner* owner() const noexcept override { return owner_; }

  private:
    ~ChainedState() override {
        ChainedState::drop_work();
        if (owner_) owner_->release();
    }

    void drop_work() noexcept override {
        if (std::exchange(has_fn_, false)) std::destroy_at(&fn_);
    }

    [[nodiscard]] Ref<StateBase> awaited() noexcept {
        const std::lock_guard held(awaited_lock_);
        return awaited_;
    }
    Ref<StateBase> stop_awaiting() noexcept {
        const std::lock_guard held(awaited_lock_);
        return std::move(awaited_);
    }

    // The future before is done.
    void run(StateBase& state) noexcept override {
        const Ref<ChainedState> self = Ref<ChainedState>::adopt(this);
        const Ref<StateBase> before = stop_awaiting();
        if (!this->advance(Phase::pending, Phase::running)) return;  // Cancelled meanwhile.
        auto& done = static_cast<State<T>&>(state);
        if (done.phase() == Phase::cancelled) {
            drop_work();
            this->conclude(Phase::cancelled);
        } else if (std::exception_ptr error = done.error()) {
            drop_work();
            this->fail(std::move(error));
        } else {
            call(done);
        }
    }

    void call(State<T>& done) noexcept {
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
                this->succeed(Nothing{});
            } else {
                auto result = invoke();
                drop_work();
                settle_with(std::move(result));
            }
        } catch (...) {
            drop_work();
            this->fail(std::current_exception());
        }
    }

    template <typename Result>
    void settle_with(Result&& result) {
        this->emplace_value(std::move(result));
        this->conclude(Phase::succeeded);
    }
    template <typename V>
    void settle_with(Future<V>&& inner);

    /// Waits for the future that `fn` returned.
    template <typename V>
    class PassOn final : public Continuation {
      public:
        explicit PassOn(Ref<ChainedState> outer)
            : Continuation(Kind::callback), outer_{std::move(outer)} {}
        void run(StateBase& state) noexcept override {
            const std::unique_ptr<PassOn> self(this);
            const Ref<StateBase> inner = outer_->stop_awaiting();
            auto& done = static_cast<State<V>&>(state);
            if (done.phase() == Phase::cancelled)
                outer_->conclude(Phase::cancelled);
            else if (std::exception_ptr error = done.error())
                outer_->fail(std::move(error));
            else
                outer_->pass_on(done);
        }

      private:
        friend class std::default_delete<PassOn>;
        ~PassOn() = default;
        Ref<ChainedState> outer_;
    };
    template <typename>
    friend class PassOn;

    template <typename V>
    void pass_on(State<V>& inner) noexcept {
        try {
            if constexpr (std::is_copy_constructible_v<Stored<V>>)
                settle_with(Stored<V>(std::as_const(inner.value())));
            else
                settle_with(Stored<V>(std::move(inner.take())));
        } catch (...) {
            this->fail(std::current_exception());
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
