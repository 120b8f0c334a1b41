// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <muster/future.hpp>

namespace muster {

/// The writing end of a future made by hand.
///
///     muster::Promise<int> promise;
///     muster::Future<int> future = promise.get_future();
///     promise.set_result(42);
///     assert(future.result() == 42);
///
/// Destroyed without an outcome, it gives its futures `BrokenPromise`.
/// Thread safety: `set_...` from several threads, of which one succeeds.
template <typename T>
class Promise {
  public:
    Promise() : state_{detail::Ref<PromiseState>::adopt(new PromiseState)} {}
    Promise(Promise&&) noexcept = default;
    Promise& operator=(Promise other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~Promise() {
        if (state_ && state_->begin_settling())
            state_->fail(std::make_exception_ptr(BrokenPromise(
                "muster: the promise was destroyed before it was given a result or exception; keep "
                "it until then")));
    }

    /// A handle to the result. May be called more than once: all handles are equal.
    [[nodiscard]] Future<T> get_future() const {
        return detail::FutureAccess::make(detail::Ref<detail::State<T>>(owned()));
    }

    /// Marks the task as running, after which it cannot be cancelled. False when it was cancelled.
    ///
    /// **Throws**: `InvalidStateError` when it runs or is done.
    bool set_running_or_notify_cancel() {
        if (owned()->advance(detail::Phase::pending, detail::Phase::running)) return true;
        const detail::Phase now = owned()->phase();
        if (now == detail::Phase::cancelling || now == detail::Phase::cancelled) return false;
        throw InvalidStateError(
            "muster: set_running_or_notify_cancel() on a promise that is running or done; call it "
            "once, first");
    }

    /// Gives the result, wakes who waits and runs the callbacks.
    ///
    /// **Throws**: `InvalidStateError` when there is an outcome already, or it was cancelled.
    void set_result(detail::Stored<T> value)
        requires(!std::is_void_v<T>)
    {
        const detail::Ref<PromiseState> state = begin("set_result");
        try {
            state->emplace_value(std::move(value));
        } catch (...) {
            state->fail(std::current_exception());
            return;
        }
        state->conclude(detail::Phase::succeeded);
    }
    void set_result()
        requires std::is_void_v<T>
    {
        begin("set_result")->succeed({});
    }

    /// Gives an exception instead of a result. **Throws** as `set_result`, and
    /// `std::invalid_argument` for a null pointer.
    void set_exception(std::exception_ptr error) {
        if (!error) throw std::invalid_argument("muster: set_exception() needs an exception");
        begin("set_exception")->fail(std::move(error));
    }

  private:
    class PromiseState final : public detail::State<T> {
        ~PromiseState() override = default;
    };

    [[nodiscard]] detail::Ref<PromiseState> owned() const {
        if (!state_)
            throw InvalidStateError(
                "muster: this promise was moved from; use the one it was moved to");
        return state_;
    }

    /// The state, kept alive: who is woken, or a callback, may destroy the promise meanwhile.
    [[nodiscard]] detail::Ref<PromiseState> begin(const char* call) const {
        detail::Ref<PromiseState> state = owned();
        if (!state->begin_settling())
            throw InvalidStateError(
                std::string("muster: ") + call +
                "() on a promise that has an outcome already or was cancelled; set it once, and "
                "first ask set_running_or_notify_cancel() whether anybody waits for it");
        return state;
    }

    detail::Ref<PromiseState> state_;
};

}  // namespace muster
