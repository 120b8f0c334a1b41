// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include <muster/detail/deadline.hpp>
#include <muster/detail/os.hpp>

namespace muster::detail {

/// What a `DeathWatch` waits for the end of.
class Mortal {
  public:
    Mortal() = default;
    Mortal(const Mortal&) = delete;
    Mortal& operator=(const Mortal&) = delete;

    /// True when it has ended, and all that is to be done then is done. Else adds to `watch` what
    /// is readable when it has, and makes `look_again` no later than it is to be looked for without.
    virtual bool look(os::Watch& watch, Deadline& look_again) noexcept = 0;

  protected:
    ~Mortal() = default;
};

/// Sees the ends of processes at once, whatever else this process does or waits for: else what they
/// held would be lost to a thread that waits for it, and asks none of them whether it is alive.
///
/// The thread that does it is there while a process runs or is being started. The last handle to go
/// waits for its end, so none is left in a library that is unloaded after that.
///
/// Locks: `mutex_` is held while processes are looked at, which takes the locks of these.
///
/// Requires: to live as long as the process. Thread safety: all members.
class DeathWatch {
  public:
    /// A start of a process, from before it to when it is watched or has failed.
    class Start {
      public:
        /// **Throws**: `std::system_error` if there can be no thread: nothing is to be started then
        /// whose end nobody would see.
        explicit Start(DeathWatch& watch) : watch_{watch} {
            const std::lock_guard held(watch_.mutex_);
            if (!watch_.serving_) watch_.serve_in_thread();
            ++watch_.starts_;
        }
        Start(const Start&) = delete;
        Start& operator=(const Start&) = delete;
        ~Start() {
            const std::lock_guard held(watch_.mutex_);
            --watch_.starts_;
            watch_.bell_.ring();
        }

        /// It runs. Requires: it is removed from the watch before it is destroyed.
        void succeeded(Mortal& process) {
            const std::lock_guard held(watch_.mutex_);
            watch_.running_.push_back(&process);
        }

      private:
        DeathWatch& watch_;
    };

    /// Its handle goes. After that it is not looked at.
    void remove(const Mortal& process) noexcept {
        std::unique_lock held(mutex_);
        std::erase(running_, &process);
        if (wanted()) return;
        bell_.ring();  // It may not know yet that this was the last.
        changed_.wait(held, [this] { return !serving_ || wanted(); });
        if (!serving_ && thread_.joinable()) thread_.join();
    }

  private:
    // All but `serve` require that mutex_ is held.

    [[nodiscard]] bool wanted() const noexcept { return starts_ != 0 || !running_.empty(); }

    void serve_in_thread() {
        if (thread_.joinable()) thread_.join();  // It is at its end, and takes no lock any more.
        thread_ = std::thread([this] { serve(); });
        serving_ = true;
    }

    void serve() noexcept {
        os::set_thread_name("muster-deaths");
        os::leave_signals_to_others();
        os::Watch watch;
        std::unique_lock held(mutex_);
        for (;;) {
            watch.clear();
            const std::size_t bell = watch.add(bell_.fd());
            Deadline look_again;
            std::erase_if(running_, [&](Mortal* each) { return each->look(watch, look_again); });
            if (!wanted()) break;
            held.unlock();
            watch.wait(look_again);
            if (watch.ready(bell)) bell_.clear();
            held.lock();
        }
        serving_ = false;
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    os::Bell bell_;
    std::size_t starts_ = 0;        // That are under way.
    std::vector<Mortal*> running_;  // As far as it is known.
    bool serving_ = false;
    std::thread thread_;
};

}  // namespace muster::detail
