// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <muster/detail/call_with_value.hpp>
#include <muster/detail/chained_state.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/shared_state.hpp>
#include <muster/errors.hpp>

namespace muster {

template <typename T>
class Promise;

/// What can be asked of any future without naming its type: state, waiting, cancelling, exception.
///
///     std::vector<muster::AnyFuture> all{pool.submit(f), pool.submit(g)};  // of different types
///     muster::wait(all);
///
/// A cheap handle: copies refer to the same task, compare equal and hash alike. Its destructor
/// never blocks. Thread safety: all members, also on copies in different threads.
class AnyFuture {
  public:
    /// A future of nothing. Everything but `valid`, comparison and assignment throws.
    AnyFuture() noexcept = default;

    /// True unless default constructed or moved from.
    [[nodiscard]] bool valid() const noexcept { return bool(state_); }

    /// True when the outcome is there: a value, an exception, or cancelled.
    [[nodiscard]] bool done() const { return state().done(); }

    /// True while the task is being run.
    [[nodiscard]] bool running() const { return state().running(); }

    /// True when the task was cancelled before it began, or killed while it ran.
    [[nodiscard]] bool cancelled() const {
        const detail::Phase now = state().phase();
        return now == detail::Phase::cancelling || now == detail::Phase::cancelled;
    }

    /// Cancels the task if it has not begun. True if it will never run, also when it was cancelled
    /// before; false when it runs or has ended. Callbacks run in this thread.
    bool cancel() const { return kept_state()->cancel(); }

    /// Asks the task to stop: its `StopToken` says so. False when it takes none, or is done.
    bool request_stop() const { return kept_state()->request_stop(); }

    /// Ends the task whatever it does: its worker process is killed, and the future holds
    /// `CancelledError`. A task that has not begun is cancelled.
    ///
    ///     if (!search.wait_for(10s)) search.kill();
    ///
    /// Returns whether the future holds `CancelledError`: false when the task has an outcome, or
    /// runs on a thread, which cannot be ended.
    bool kill() const { return kept_state()->kill(); }

    /// Waits until done. Never throws what the task threw.
    ///
    /// In a copy of the process, made by the application's own `fork()`, an outcome that was not
    /// there before will never be: nothing waits for it, and `result()` and `exception()` throw
    /// `InvalidStateError`.
    /// **Blocks**. In a task of a thread pool, a task of that pool that has not begun is run here.
    void wait() const { (void)state().wait_if_it_comes(std::nullopt); }

    /// Waits at most `timeout`, and returns whether it is done. Zero or less polls.
    template <typename Rep, typename Period>
    bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
        return state().done() ||
               (state().wait_if_it_comes(detail::deadline_after(timeout)) && state().done());
    }

    /// Waits until `when` at the latest, and returns whether it is done.
    template <typename Clock, typename Duration>
    bool wait_until(std::chrono::time_point<Clock, Duration> when) const {
        return state().done() ||
               (state().wait_if_it_comes(detail::deadline_at(when)) && state().done());
    }

    /// Waits, and returns the task's exception, null for success.
    ///
    /// **Throws**: `CancelledError` when it was cancelled.
    [[nodiscard]] std::exception_ptr exception() const {
        wait();
        return outcome();
    }

    /// As `exception()`. **Throws** also `TimeoutError` when the time is up; the task goes on.
    template <typename Rep, typename Period>
    [[nodiscard]] std::exception_ptr exception(std::chrono::duration<Rep, Period> timeout) const {
        throw_unless_done(timeout);
        return outcome();
    }

    friend bool operator==(const AnyFuture&, const AnyFuture&) noexcept = default;

  protected:
    explicit AnyFuture(detail::Ref<detail::StateBase> state) noexcept : state_{std::move(state)} {}

    [[nodiscard]] detail::StateBase& state() const {
        if (!state_)
            throw InvalidStateError(
                "muster: this future is empty: it was default constructed or moved from; ask the "
                "one that submit() returned, or a copy of it");
        return *state_;
    }

    template <typename Rep, typename Period>
    void throw_unless_done(std::chrono::duration<Rep, Period> timeout) const {
        if (!state().done() && !state().wait_if_it_comes(detail::deadline_after(timeout)))
            throw TimeoutError("muster: the result of " + state().title() +
                               " was not there in the time given; it goes on, and you may ask "
                               "again");
    }

  private:
    friend struct detail::FutureAccess;
    friend struct std::hash<AnyFuture>;

    /// The state, kept alive: a callback that is run may destroy this handle.
    [[nodiscard]] detail::Ref<detail::StateBase> kept_state() const {
        return detail::Ref<detail::StateBase>::share(&state());
    }

    [[nodiscard]] std::exception_ptr outcome() const {
        if (!state().done()) detail::StateBase::throw_orphaned();
        if (state().phase() == detail::Phase::cancelled) state().throw_cancelled();
        return state().error();
    }

    detail::Ref<detail::StateBase> state_;
};

/// The result of a task, now or later.
///
///     muster::Future<int> square = pool.submit([](int x) { return x * x; }, 7);
///     assert(square.result() == 49);
///
/// A cheap handle: copies refer to the same task, compare equal and hash alike. Its destructor
/// never blocks. Thread safety: all members, also on copies in different threads.
template <typename T>
class [[nodiscard("the future is the only way to the task's result; post() needs none")]] Future
    : public AnyFuture {
  public:
    static_assert(std::is_same_v<T, std::decay_t<T>>,
                  "muster: a Future holds a value: give it a type without const or reference");

    /// A future of nothing. Everything but `valid`, comparison and assignment throws.
    Future() noexcept = default;

    /// Waits for the task and returns its value, which the future keeps.
    ///
    /// **Throws**: what the task threw, with its own type. `CancelledError` when it was cancelled.
    /// `InvalidStateError` when the value was moved out before.
    /// **Blocks**. In a task of a thread pool, a task of that pool that has not begun is run here.
    std::add_lvalue_reference_t<const T> result() const& {
        wait();
        return value();
    }

    /// Waits for the task and moves its value out: `pool.submit(f).result()`. Another access to the
    /// value, through any handle, throws `InvalidStateError`.
    T result() && {
        wait();
        return take();
    }

    /// Waits for the task at most `timeout`, and returns its value. Zero or less polls. Time is
    /// `std::chrono::steady_clock`'s: a change of the wall clock does not matter.
    ///
    /// **Throws**: as `result()`, and `TimeoutError` when the time is up: the task goes on, and you
    /// may ask again.
    template <typename Rep, typename Period>
    std::add_lvalue_reference_t<const T> result(std::chrono::duration<Rep, Period> timeout) const& {
        throw_unless_done(timeout);
        return value();
    }
    template <typename Rep, typename Period>
    T result(std::chrono::duration<Rep, Period> timeout) && {
        throw_unless_done(timeout);
        return take();
    }

    /// Calls `fn(future)` when the task is done, once: in the thread that completes or cancels it,
    /// after the callbacks added before; at once, in this thread, if it is done already.
    /// What it throws goes to the executor's `on_error`. It may wait for other futures, but not for
    /// what callbacks bring about that were added to this one after it.
    ///
    ///     task.add_done_callback([](muster::Future<int> done) { std::cout << done.result(); });
    template <typename F>
    void add_done_callback(F&& fn) const;

    /// The future of `fn(value)`, run where a callback would. `fn` sees `const T&`, and from an
    /// rvalue future `T&&`; a future that it returns is waited for too. Errors and cancellation
    /// pass `fn` by.
    ///
    ///     auto text = pool.submit(download, url).then([](std::string page) { return page.size(); });
    template <typename F>
    auto then(F&& fn) const& {
        return chain<false>(std::forward<F>(fn));
    }
    template <typename F>
    auto then(F&& fn) && {
        return chain<true>(std::forward<F>(fn));
    }

    /// As `then(fn)`, with `fn(value)` run by `executor`, which must outlive this future's task.
    /// It gets a copy of a named future's value; one that cannot be copied is to stay there until
    /// `fn` has returned.
    template <typename Executor, typename F>
    auto then(Executor& executor, F&& fn) const& {
        return chain_on<false>(executor, std::forward<F>(fn));
    }
    template <typename Executor, typename F>
    auto then(Executor& executor, F&& fn) && {
        return chain_on<true>(executor, std::forward<F>(fn));
    }

  private:
    friend struct detail::FutureAccess;

    explicit Future(detail::Ref<detail::State<T>> state) noexcept : AnyFuture(std::move(state)) {}

    [[nodiscard]] detail::State<T>& typed() const {
        return static_cast<detail::State<T>&>(state());
    }
    std::add_lvalue_reference_t<const T> value() const {
        if constexpr (std::is_void_v<T>)
            (void)typed().value();
        else
            return typed().value();
    }
    T take() {
        if constexpr (std::is_void_v<T>)
            (void)typed().take();
        else
            return std::move(typed().take());
    }

    template <bool take, typename F>
    auto chain(F&& fn) const;
    template <bool take, typename Executor, typename F>
    auto chain_on(Executor& executor, F&& fn) const;
};

namespace detail {

/// The library's own way between futures and their states.
struct FutureAccess {
    template <typename T>
    static Future<T> make(Ref<State<T>> state) noexcept {
        return Future<T>(std::move(state));
    }
    static StateBase& state(const AnyFuture& future) { return future.state(); }
    template <typename T>
    static State<T>& typed(const Future<T>& future) {
        return future.typed();
    }
    template <typename T>
    static Ref<State<T>> share(const Future<T>& future) {
        return Ref<State<T>>::share(&future.typed());
    }
    /// Whether the executor's tasks may refer to what is in this process.
    template <typename Executor>
    static constexpr bool shares_memory() {
        if constexpr (requires { Executor::shares_memory; })
            return Executor::shares_memory;
        else
            return false;
    }
};

/// A callback of the user's.
template <typename T, typename F>
class Callback final : public Continuation {
  public:
    template <typename Fn>
    explicit Callback(Fn&& fn) : Continuation(Kind::callback), fn_(std::forward<Fn>(fn)) {}

    void run(StateBase& state) noexcept override {
        const std::unique_ptr<Callback> self(this);
        // Kept alive: the callback may destroy the last handle, and throw.
        const auto kept = Ref<State<T>>::share(&static_cast<State<T>&>(state));
        try {
            std::invoke(std::move(fn_), FutureAccess::make(kept));
        } catch (...) {
            if (TaskOwner* owner = state.owner())
                owner->report(std::current_exception(), state, "a callback of ");
            else
                report_error({}, std::current_exception(), state, "a callback of ");
        }
    }

  private:
    friend struct std::default_delete<Callback>;
    ~Callback() = default;
    F fn_;
};

template <typename U, typename T, typename F, bool take>
template <typename V>
Continuation* ChainedState<U, T, F, take>::settle_with(Future<V>&& inner) {
    State<V>& state = FutureAccess::typed(inner);
    if (static_cast<StateBase*>(&state) == this)
        throw InvalidStateError("muster: the function given to then() returned its own future");
    {
        const std::lock_guard held(awaited_lock_);
        awaited_ = Ref<StateBase>(FutureAccess::share(inner));
    }
    // seq_cst: a worker that is to run what is awaited from now on either sees it, or is woken.
    passing_on_.store(true, std::memory_order_seq_cst);
    this->wake_helpers();
    auto* const link = new PassOn<V>(Ref<ChainedState>::share(this));
    return state.try_add_continuation(*link) ? nullptr : link->settle(state).callbacks;
}

}  // namespace detail

template <typename T>
template <typename F>
void Future<T>::add_done_callback(F&& fn) const {
    static_assert(std::is_invocable_v<std::decay_t<F>, Future<T>>,
                  "muster: a done callback is called with the future: fn(Future<T>)");
    state().add_continuation(*new detail::Callback<T, std::decay_t<F>>(std::forward<F>(fn)));
}

template <typename T>
template <bool take, typename F>
auto Future<T>::chain(F&& fn) const {
    using Link = std::decay_t<F>;
    using Result = std::decay_t<typename detail::LinkResult<Link, T, take>::type>;
    using Chained = detail::ChainedState<detail::Unwrapped<Result>, T, Link, take>;
    detail::State<T>& before = typed();
    auto chained = detail::Ref<Chained>::adopt(
        new Chained(detail::FutureAccess::share(*this), std::forward<F>(fn)));
    chained->link(before);
    return detail::FutureAccess::make(
        detail::Ref<detail::State<detail::Unwrapped<Result>>>(std::move(chained)));
}

template <typename T>
template <bool take, typename Executor, typename F>
auto Future<T>::chain_on(Executor& executor, F&& fn) const {
    if constexpr (std::is_void_v<T>)
        return chain<take>([&executor, fn = std::decay_t<F>(std::forward<F>(fn))]() mutable {
            return executor.submit(std::move(fn));
        });
    else if constexpr (take)
        return chain<take>(
            [&executor, fn = std::decay_t<F>(std::forward<F>(fn))](T&& value) mutable {
                return executor.submit(std::move(fn), std::move(value));
            });
    else
        return chain<take>([&executor, done = detail::FutureAccess::share(*this),
                            fn = std::decay_t<F>(std::forward<F>(fn))](const T& value) mutable {
            if constexpr (!std::is_copy_constructible_v<T> &&
                          detail::FutureAccess::shares_memory<Executor>() &&
                          detail::CallableWith<std::decay_t<F>, T>)
                return executor.submit(
                    detail::CallWithValue<T, std::decay_t<F>>{std::move(done), std::move(fn)});
            else
                return executor.submit(std::move(fn), value);
        });
}

}  // namespace muster

template <>
struct std::hash<muster::AnyFuture> {
    std::size_t operator()(const muster::AnyFuture& future) const noexcept {
        return std::hash<const void*>{}(future.state_.get());
    }
};

template <typename T>
struct std::hash<muster::Future<T>> : std::hash<muster::AnyFuture> {};
