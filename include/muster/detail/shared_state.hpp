// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <muster/detail/continuation.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/gate.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/ref.hpp>
#include <muster/detail/spin.hpp>
#include <muster/errors.hpp>
#include <muster/stop_token.hpp>

namespace muster::detail {

class TaskOwner;

/// Where a future stands. From `cancelled` on it is done.
///
/// | phase      | meaning                                       | next                          |
/// |------------|-----------------------------------------------|-------------------------------|
/// | pending    | has not begun, or waits for its next attempt  | running, settling, cancelling |
/// | running    | the task runs                                 | pending, settling, an outcome |
/// | settling   | one thread alone is writing the outcome       | succeeded, failed             |
/// | cancelling | will never run; its callable is being dropped | cancelled                     |
enum class Phase : std::uint32_t {
    pending,
    running,
    settling,
    cancelling,
    cancelled,
    succeeded,
    failed
};

/// An attempt at a task has run past its time limit.
struct Overrun {
    std::optional<StopSource> source;  ///< Where the attempt is asked to stop, if it listens.
    bool settles = false;              ///< The task gets no other attempt.
};

/// What all futures share but the value: phase, waiting, continuations, reference count.
///
/// Thread safety: all members may be called from any thread that holds a reference.
// A model of the protocol stands in tests/models/future.pml.
class StateBase {
  public:
    StateBase() noexcept = default;
    StateBase(const StateBase&) = delete;
    StateBase& operator=(const StateBase&) = delete;

    void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        // Alone, there is no one to race with: saves the locked instruction.
        if (references_.load(std::memory_order_acquire) == 1 ||
            references_.fetch_sub(1, std::memory_order_acq_rel) == 1)
            delete this;
    }

    [[nodiscard]] Phase phase() const noexcept {
        return phase_of(word_.load(std::memory_order_acquire));
    }
    [[nodiscard]] bool done() const noexcept { return phase() >= Phase::cancelled; }

    /// Moves from one phase to another; false when the state is in a different one.
    bool advance(Phase from, Phase to) noexcept {
        std::uint32_t word = word_.load(std::memory_order_relaxed);
        do {
            if (phase_of(word) != from) return false;
        } while (!word_.compare_exchange_weak(word, (word & ~phase_mask) | std::uint32_t(to),
                                              std::memory_order_acq_rel,
                                              std::memory_order_relaxed));
        return true;
    }

    /// Takes the sole right to write the outcome. False when it is settled or cancelled already.
    bool begin_settling() noexcept {
        return advance(Phase::running, Phase::settling) || advance(Phase::pending, Phase::settling);
    }

    /// Publishes an outcome, wakes who waits and runs the continuations.
    /// Requires: the caller holds a reference and the sole right to settle.
    void conclude(Phase outcome) noexcept { run_callbacks(publish(outcome)); }

    /// The first half of `conclude`: returns the callbacks that are still to be run.
    [[nodiscard]] Continuation* publish(Phase outcome) noexcept {
        // Release: what the outcome is made of. Acquire side: every load of word_ in done().
        // seq_cst: an executor that then looks for waiters of its own kind misses none.
        const std::uint32_t before =
            word_.exchange(std::uint32_t(outcome), std::memory_order_seq_cst);
        if (before & slept_on) os::wake_all(word_);
        Continuation* callbacks = nullptr;
        Continuation** end = &callbacks;
        for (Continuation* node = continuations_.close(); node != nullptr;) {
            Continuation* const following = node->next;
            if (node->immediate()) {
                node->run(*this);
            } else {
                *end = node;
                end = &node->next;
                node->next = nullptr;
            }
            node = following;
        }
        return callbacks;
    }

    /// Runs callbacks of this state, and those of the states that they settle, depth first and
    /// without recursion: a chain may have any length.
    void run_callbacks(Continuation* callbacks) noexcept;

    /// Runs `added` when the state is done: now, in this thread, if it is.
    void add_continuation(Continuation& added) noexcept {
        if (!continuations_.add(added)) added.run(*this);
    }
    /// False when the state is done: `added` is the caller's to run.
    [[nodiscard]] bool try_add_continuation(Continuation& added) noexcept {
        return continuations_.add(added);
    }
    bool remove_continuation(Continuation& unwanted) noexcept {
        return continuations_.remove(unwanted);
    }

    /// Blocks until done. False when the deadline passed first.
    virtual bool wait(const Deadline& deadline) noexcept {
        help_while_possible(deadline);
        if (done()) return true;
        if (expired(deadline)) return false;
        return spin_until([this] { return done(); }) || sleep_until_done(deadline);
    }

    /// Whether the outcome will never be here: this process is a copy of the one whose executor has
    /// the task, made by the application's own `fork`.
    [[nodiscard]] virtual bool orphaned() noexcept;  // In task_owner.hpp.

    /// As `wait`, but true at once when it is orphaned.
    bool wait_if_it_comes(const Deadline& deadline) noexcept {
        return done() || orphaned() || wait(deadline);
    }
    [[noreturn]] static void throw_orphaned() {
        throw InvalidStateError(
            "muster: this future's outcome will only be in the process that submitted the task, of "
            "which this one is a fork; ask before the fork, or submit in this process");
    }

    [[nodiscard]] virtual bool running() const noexcept {
        return phase() == Phase::running || phase() == Phase::settling;
    }

    /// True if the task will never run.
    virtual bool cancel() noexcept {
        if (advance(Phase::pending, Phase::cancelling)) {
            drop_work();
            conclude(Phase::cancelled);
            return true;
        }
        const Phase now = phase();
        return now == Phase::cancelling || now == Phase::cancelled;
    }

    /// Asks the running task to stop. False when it does not listen or is done.
    virtual bool request_stop() noexcept { return false; }

    /// Ends the process that the task runs in. False when it runs in no process of its own.
    virtual bool kill() noexcept { return cancel(); }

    /// The moment has come that it was added to the timers for. What is to be done about a task that
    /// overran its time is left to `end_overrun`, which calls users' code.
    virtual std::optional<Overrun> alarm(Clock::time_point /*when*/) noexcept { return {}; }
    virtual void end_overrun(const Overrun& /*overrun*/) noexcept {}
    /// Ends the delay before its next attempt, if it was added to the timers for that.
    virtual void hasten() noexcept {}

    /// Runs in this thread what this state waits for, if that has not begun and this thread is a
    /// worker of the pool that has it. True when something was run, so the caller looks again.
    virtual bool help() noexcept { return false; }

    /// Where this thread, as a worker of a pool this state depends on, learns of new tasks; else null.
    virtual Gate* gate_here() noexcept { return nullptr; }

    /// Makes those who wait look again whether they have to run what this state waits for.
    virtual void wake_helpers() noexcept;

    /// Whether the task runs in this thread, beneath who asks.
    [[nodiscard]] virtual bool runs_here() const noexcept { return false; }

    /// The state that this one, as a link of a chain, gets its outcome from; else null.
    virtual Ref<StateBase> awaited() noexcept { return {}; }

    /// Whether it will be done without anything that this thread does.
    [[nodiscard]] virtual bool goes_on_elsewhere() const noexcept {
        return phase() != Phase::pending && !runs_here();
    }

    /// Where exceptions of callbacks go; null for the default, a line on stderr.
    [[nodiscard]] virtual TaskOwner* owner() const noexcept { return nullptr; }

    /// What errors call it.
    [[nodiscard]] virtual std::string title() const { return "a task"; }
    [[noreturn]] void throw_cancelled() const {
        throw CancelledError(
            "muster: " + title() +
            " was cancelled before it began, or killed, so it has no result; submit "
            "it again if it is still wanted");
    }

    /// The exception of a failed state.
    [[nodiscard]] virtual std::exception_ptr error() const noexcept = 0;

    /// Once the deadline has passed nothing more is begun, so that a poll runs no task.
    void help_while_possible(const Deadline& deadline) noexcept {
        while (!done() && !expired(deadline) && help()) {
        }
    }

    bool sleep_until_done(const Deadline& deadline) noexcept {
        std::uint32_t word = word_.load(std::memory_order_acquire);
        while (phase_of(word) < Phase::cancelled) {
            // Pairs with the exchange in publish(): whoever settles sees the bit, or we the outcome.
            if (!(word & slept_on) &&
                !word_.compare_exchange_weak(word, word | slept_on, std::memory_order_acq_rel,
                                             std::memory_order_acquire))
                continue;
            if (!os::sleep_on(word_, word | slept_on, deadline)) return done();
            word = word_.load(std::memory_order_acquire);
        }
        return true;
    }

  protected:
    virtual ~StateBase() = default;

    /// Destroys the callable and its arguments: they will not be needed.
    virtual void drop_work() noexcept {}

    [[nodiscard]] bool taken() const noexcept {
        return word_.load(std::memory_order_acquire) & taken_bit;
    }
    bool mark_taken() noexcept {
        return !(word_.fetch_or(taken_bit, std::memory_order_acq_rel) & taken_bit);
    }

  private:
    static constexpr std::uint32_t phase_mask = 7;
    static constexpr std::uint32_t slept_on = 8;
    static constexpr std::uint32_t taken_bit = 16;

    static Phase phase_of(std::uint32_t word) noexcept { return Phase(word & phase_mask); }

    std::atomic<std::uint32_t> references_{1};
    std::atomic<std::uint32_t> word_{0};
    ContinuationList continuations_;
};

/// A state that has just been settled, and those of its callbacks that are to run.
struct Settled {
    Ref<StateBase> state;
    Continuation* callbacks = nullptr;
};

/// A continuation that settles another state. That state's callbacks are run by whoever runs the
/// link, and not from within it: see `StateBase::run_callbacks`.
class Link : public Continuation {
  public:
    Link() noexcept : Continuation(Kind::link) {}

    /// Runs once, after `state` is done, and disposes of itself.
    [[nodiscard]] virtual Settled settle(StateBase& state) noexcept = 0;

    void run(StateBase& state) noexcept final {
        const Settled settled = settle(state);
        if (settled.callbacks != nullptr) settled.state->run_callbacks(settled.callbacks);
    }

  protected:
    ~Link() = default;
};

inline void StateBase::run_callbacks(Continuation* callbacks) noexcept {
    StateBase* state = this;
    Ref<StateBase> kept;
    std::vector<Settled> later;  // Only used where a chain branches.
    for (;;) {
        while (callbacks != nullptr) {
            Continuation* const first = std::exchange(callbacks, callbacks->next);
            if (!first->link()) {
                first->run(*state);
                continue;
            }
            Settled settled = static_cast<Link*>(first)->settle(*state);
            if (settled.callbacks == nullptr) continue;
            if (callbacks != nullptr) {
                try {
                    later.push_back({Ref<StateBase>::share(state), callbacks});
                } catch (...) {  // No memory: then this branch takes some stack.
                    settled.state->run_callbacks(settled.callbacks);
                    continue;
                }
            }
            kept = std::move(settled.state);
            state = kept.get();
            callbacks = settled.callbacks;
        }
        if (later.empty()) return;
        kept = std::move(later.back().state);
        state = kept.get();
        callbacks = later.back().callbacks;
        later.pop_back();
    }
}

struct Nothing {};

/// How a result is kept: `void` as an empty value.
template <typename R>
using Stored = std::conditional_t<std::is_void_v<R>, Nothing, R>;

/// A future's state with room for its value or its error.
template <typename R>
class State : public StateBase {
  public:
    State() noexcept {}

    /// Writes the value. Requires: the sole right to settle.
    template <typename... Values>
    void emplace_value(Values&&... values) {
        std::construct_at(std::addressof(value_), std::forward<Values>(values)...);
    }
    void emplace_error(std::exception_ptr error) noexcept {
        std::construct_at(std::addressof(error_), std::move(error));
    }

    void succeed(Stored<R> value) noexcept(std::is_nothrow_move_constructible_v<Stored<R>>) {
        emplace_value(std::move(value));
        conclude(Phase::succeeded);
    }
    void fail(std::exception_ptr error) noexcept { run_callbacks(publish_error(std::move(error))); }

    /// As `publish`, with an error as the outcome.
    [[nodiscard]] Continuation* publish_error(std::exception_ptr error) noexcept {
        emplace_error(std::move(error));
        return publish(Phase::failed);
    }

    /// Throws: unless the state succeeded and nobody has taken the value.
    Stored<R>& value() {
        throw_unless_succeeded();
        if (taken()) throw_taken();
        return value_;
    }
    /// The value, which is the caller's from now on.
    Stored<R>& take() {
        throw_unless_succeeded();
        if (!mark_taken()) throw_taken();
        return value_;
    }

    [[nodiscard]] std::exception_ptr error() const noexcept override {
        return phase() == Phase::failed ? error_ : nullptr;
    }

  protected:
    ~State() override {
        if (phase() == Phase::succeeded) std::destroy_at(std::addressof(value_));
        if (phase() == Phase::failed) std::destroy_at(std::addressof(error_));
    }

  private:
    void throw_unless_succeeded() const {
        if (!done()) throw_orphaned();  // Else who asks has waited until it was.
        if (phase() == Phase::failed) std::rethrow_exception(error_);
        if (phase() != Phase::succeeded) throw_cancelled();
    }
    [[noreturn]] void throw_taken() const {
        throw InvalidStateError("muster: the result of " + title() +
                                " was moved out by an earlier result() on an rvalue; call result() "
                                "on a named future to share the value");
    }

    union {
        Stored<R> value_;
        std::exception_ptr error_;
    };
};

}  // namespace muster::detail
