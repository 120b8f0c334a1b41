// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include <muster/detail/gate_continuation.hpp>

namespace muster::detail {

/// Waits for several futures with one waiter: woken when as many are done as it waits for, not by
/// each of them. Being woken for each costs the workers a quarter of their time on short tasks.
///
/// Registers with each state on construction and with none any more on destruction.
/// Thread safety: one thread at a time calls; the futures may complete in any.
class WaitSet {
  public:
    explicit WaitSet(std::vector<Ref<StateBase>> states)
        : states_{std::move(states)}, nodes_{std::make_unique<Node[]>(states_.size())} {
        for (const Ref<StateBase>& state : states_) {
            if (state->done()) continue;
            if (Gate* gate = gate_for(*state)) gate_ = gate;
        }
        // The gate's owner may be gone before this, which may be moved to another thread.
        if (gate_ != &own_gate_) owner_ = TaskOwner::owner_of(*gate_);
        if (owner_) owner_->retain();
        for (std::size_t i = 0; i < states_.size(); ++i) {
            nodes_[i].set = this;
            nodes_[i].index = i;
            states_[i]->add_continuation(nodes_[i]);
        }
    }
    WaitSet(const WaitSet&) = delete;
    WaitSet& operator=(const WaitSet&) = delete;
    ~WaitSet() {
        for (std::size_t i = 0; i < states_.size(); ++i)
            if (states_[i]) nodes_[i].leave(*states_[i]);
        if (owner_) owner_->release();
    }

    [[nodiscard]] std::size_t size() const noexcept { return states_.size(); }
    [[nodiscard]] StateBase& state(std::size_t index) const noexcept { return *states_[index]; }

    /// Waits until `count` are done, or one has failed if `or_failure`. False when the deadline
    /// passed first. True at once when so many never will be, because too many are orphaned.
    bool wait(std::size_t count, bool or_failure, const Deadline& deadline) {
        target_.store(count, std::memory_order_seq_cst);
        wake_on_failure_.store(or_failure, std::memory_order_seq_cst);
        const bool helps = gate_ != &own_gate_;
        const auto ready = [&] {
            // One after the other, and none while those that run elsewhere are enough: the next may
            // wait for what this thread does after the wait.
            for (std::size_t i = 0; helps && !will_be_reached() && i < states_.size(); ++i)
                if (states_[i]) states_[i]->help_while_possible(deadline);
            return reached();
        };
        if (ready()) return true;
        if (expired(deadline)) return false;  // A poll costs no system call.
        const auto orphans = std::count_if(states_.begin(), states_.end(), [](const auto& state) {
            return state && state->orphaned();
        });
        if (static_cast<std::size_t>(orphans) > states_.size() - count) return true;
        return gate_->wait(ready, deadline);
    }

    /// The next in order of completion, if there is one that was not returned before. The set then
    /// lets go of it.
    bool pop_done(std::size_t& index) {
        if (!ordered_) {
            // Newest first in the shared list: turn it round.
            for (Node* node = done_.exchange(nullptr, std::memory_order_acquire); node;) {
                Node* const older = node->older;
                node->older = ordered_;
                ordered_ = node;
                node = older;
            }
        }
        if (!ordered_) return false;
        index = ordered_->index;
        ordered_ = ordered_->older;
        nodes_[index].leave(*states_[index]);
        states_[index] = {};
        return true;
    }

  private:
    struct Node final : WaiterContinuation {
        WaitSet* set = nullptr;
        std::size_t index = 0;
        Node* older = nullptr;

        void run(StateBase& state) noexcept override {
            set->completed(*this, state.phase() == Phase::failed);
            finish_run();
        }
    };

    [[nodiscard]] bool reached() const noexcept {
        return count_.load(std::memory_order_seq_cst) >= target_.load(std::memory_order_seq_cst) ||
               (wake_on_failure_.load(std::memory_order_seq_cst) &&
                failed_.load(std::memory_order_seq_cst));
    }

    /// Whether it is reached when all that have begun and do not wait for this thread have ended.
    [[nodiscard]] bool will_be_reached() const noexcept {
        if (reached()) return true;
        const std::size_t target = target_.load(std::memory_order_seq_cst);
        std::size_t begun = 0;  // Those that are let go of included.
        std::size_t others = 0;
        for (const Ref<StateBase>& state : states_) {
            ++(!state || state->done() || goes_on_elsewhere(state) ? begun : others);
            if (begun >= target || others > states_.size() - target) break;
        }
        return begun >= target;
    }
    /// Of a link in a chain: whether what it waits for does.
    static bool goes_on_elsewhere(Ref<StateBase> state) noexcept {
        while (Ref<StateBase> before = state->awaited()) state = std::move(before);
        return state->goes_on_elsewhere();
    }

    void completed(Node& node, bool failed) noexcept {
        Node* newest = done_.load(std::memory_order_relaxed);
        do {
            node.older = newest;
        } while (!done_.compare_exchange_weak(newest, &node, std::memory_order_release,
                                              std::memory_order_relaxed));
        if (failed) failed_.store(true, std::memory_order_seq_cst);
        count_.fetch_add(1, std::memory_order_seq_cst);
        if (reached()) gate_->notify();  // Not for each one that is done: see above.
    }

    std::vector<Ref<StateBase>> states_;
    std::unique_ptr<Node[]> nodes_;
    Gate own_gate_;
    Gate* gate_ = &own_gate_;
    TaskOwner* owner_ = nullptr;
    Node* ordered_ = nullptr;
    std::atomic<Node*> done_{nullptr};
    std::atomic<std::size_t> count_{0};
    std::atomic<std::size_t> target_{0};
    std::atomic<bool> failed_{false};
    std::atomic<bool> wake_on_failure_{false};
};

}  // namespace muster::detail
