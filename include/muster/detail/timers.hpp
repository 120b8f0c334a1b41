// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/shared_state.hpp>

namespace muster::detail {

/// Tells tasks that their time limit or the delay before their next attempt has passed, from a
/// thread that exists only once there is one to tell.
///
/// Users' code that is called then may wait for other tasks, and those for their moment. So before
/// such code a thread lets go of the clock, and another, which is started if need be, looks at it.
///
/// May be destroyed in such a thread: the last handle of a task may be the one it holds.
class Timers {
  public:
    Timers() = default;
    Timers(const Timers&) = delete;
    Timers& operator=(const Timers&) = delete;

    ~Timers() {
        // In a copy of the process there are no such threads; what they wait at is left to them.
        if (generation_ != os::fork_generation()) return;
        std::unique_lock held(shared_->mutex);
        shared_->ending = true;
        shared_->changed.notify_all();
        if (std::thread own = shared_->take(std::this_thread::get_id()); own.joinable())
            own.detach();
        shared_->changed.wait(held, [this] { return shared_->threads.empty(); });
        shared_->join_ended(held);
    }

    /// Calls `task.alarm(when)` at `when`. **Throws**: `std::system_error` if there is no thread.
    void add(Clock::time_point when, StateBase& task) {
        const std::lock_guard held(shared_->mutex);
        try {
            if (!shared_->attended) start(shared_);
        } catch (...) {
            if (shared_->threads.empty()) throw;  // Else the one that is there comes back to it.
        }
        auto& waiting = shared_->waiting;
        const auto entry = waiting.emplace(Key{when, &task}, Ref<StateBase>::share(&task)).first;
        if (entry == waiting.begin()) shared_->changed.notify_all();
    }

    /// Takes it back. A call that has begun goes on.
    void remove(Clock::time_point when, StateBase& task) noexcept {
        Ref<StateBase> dropped;  // Released after the lock.
        const std::lock_guard held(shared_->mutex);
        const auto entry = shared_->waiting.find(Key{when, &task});
        if (entry == shared_->waiting.end()) return;
        dropped = std::move(entry->second);
        shared_->waiting.erase(entry);
    }

    /// All that wait for their moment.
    [[nodiscard]] std::vector<Ref<StateBase>> waiting() const {
        std::vector<Ref<StateBase>> states;
        const std::lock_guard held(shared_->mutex);
        for (const auto& [key, state] : shared_->waiting) states.push_back(state);
        return states;
    }

  private:
    using Key = std::pair<Clock::time_point, StateBase*>;

    struct Shared {
        std::mutex mutex;
        std::condition_variable changed;
        std::map<Key, Ref<StateBase>> waiting;
        std::vector<std::thread> threads;
        std::vector<std::thread> ended;  // To be joined.
        bool attended = false;           // One of them looks at the clock.
        bool ending = false;

        // These require that the mutex is held.

        /// Takes a thread out of `threads`; none if it is not there.
        std::thread take(std::thread::id id) {
            const auto found =
                std::find_if(threads.begin(), threads.end(),
                             [&](const std::thread& each) { return each.get_id() == id; });
            if (found == threads.end()) return {};
            std::thread taken = std::move(*found);
            threads.erase(found);
            return taken;
        }
        void join_ended(std::unique_lock<std::mutex>& held) {
            while (!ended.empty()) {
                std::thread last = std::move(ended.back());
                ended.pop_back();
                held.unlock();
                last.join();
                held.lock();
            }
        }
    };

    /// Requires: the mutex is held.
    static void start(const std::shared_ptr<Shared>& shared) {
        shared->threads.emplace_back([shared] { serve(shared); });
        shared->attended = true;
    }

    static void serve(const std::shared_ptr<Shared>& shared) {
        std::unique_lock held(shared->mutex);
        while (wait_for_first(*shared, held)) {
            const auto first = shared->waiting.begin();
            const Clock::time_point when = first->first.first;
            Ref<StateBase> task = std::move(first->second);
            shared->waiting.erase(first);
            held.unlock();
            const std::optional<Overrun> overrun = task->alarm(when);
            if (overrun) {
                let_go(shared);
                task->end_overrun(*overrun);
            }
            task = {};
            held.lock();
            if (overrun && std::exchange(shared->attended, true)) break;  // Another has taken over.
        }
        if (std::thread own = shared->take(std::this_thread::get_id()); own.joinable())
            shared->ended.push_back(std::move(own));
        shared->changed.notify_all();
    }

    /// False when there will be no more. Requires: the mutex is held.
    static bool wait_for_first(Shared& shared, std::unique_lock<std::mutex>& held) {
        while (!shared.ending) {
            if (!shared.ended.empty()) {
                shared.join_ended(held);
                continue;  // The mutex was free meanwhile: it may be ending.
            }
            if (shared.waiting.empty()) {
                shared.changed.wait(held);
                continue;
            }
            const Clock::time_point when = shared.waiting.begin()->first.first;
            if (when <= Clock::now()) return true;
            shared.changed.wait_until(held, when);
        }
        return false;
    }

    static void let_go(const std::shared_ptr<Shared>& shared) {
        const std::lock_guard held(shared->mutex);
        shared->attended = false;
        if (shared->waiting.empty()) return;  // Who adds one starts a thread.
        try {
            start(shared);
        } catch (...) {  // Then the clock waits for this one.
        }
    }

    const std::uint64_t generation_ = os::fork_generation();
    const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace muster::detail
