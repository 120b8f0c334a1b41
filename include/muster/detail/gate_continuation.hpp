// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

#include <muster/detail/shared_state.hpp>
#include <muster/detail/task_owner.hpp>

namespace muster::detail {

/// A waiter's place in the list of a future, usually on the waiter's stack.
///
/// Whoever completes the future touches it last when it sets `ran_`, so `leave` must come before
/// its memory goes.
class WaiterContinuation : public Continuation {
  public:
    WaiterContinuation() noexcept : Continuation(Kind::immediate) {}

    /// Requires: `state` is the one this was added to. Afterwards it is not in use.
    void leave(StateBase& state) noexcept {
        if (state.remove_continuation(*this)) return;
        while (!ran_.load(std::memory_order_acquire)) os::yield();  // About to: no user code runs.
    }

  protected:
    ~WaiterContinuation() = default;
    void finish_run() noexcept { ran_.store(true, std::memory_order_release); }

  private:
    std::atomic<bool> ran_{false};
};

/// Makes those who wait at a gate look again when a future is done.
class GateContinuation final : public WaiterContinuation {
  public:
    explicit GateContinuation(Gate& gate) noexcept : gate_{gate} {}
    void run(StateBase& /*state*/) noexcept override {
        gate_.notify();
        finish_run();
    }

  private:
    Gate& gate_;
};

/// Where this thread waits for a state if it may have to run what that depends on; null if it is no
/// worker. A link may come to depend on a task of this worker's pool only when others are done.
inline Gate* gate_for(StateBase& state) noexcept {
    Gate* const gate = state.gate_here();
    return gate ? gate : TaskOwner::worker_gate_here();
}

/// Waits for a state that depends on work which may be submitted later. A worker of the pool in
/// question looks at every new task whether it has to run that one itself.
inline bool wait_composite(StateBase& state, const Deadline& deadline) noexcept {
    state.help_while_possible(deadline);
    if (state.done()) return true;
    Gate* const gate = gate_for(state);
    if (!gate) return state.StateBase::wait(deadline);
    GateContinuation node(*gate);
    state.add_continuation(node);
    gate->wait(
        [&] {
            state.help_while_possible(deadline);
            return state.done();
        },
        deadline);
    node.leave(state);
    return state.done();
}

}  // namespace muster::detail
