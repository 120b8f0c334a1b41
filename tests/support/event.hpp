// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace muster::test {

/// Something that happens once. Copies are the same event, for tasks to keep; it happens at the
/// latest when the original goes, so that a test which ends early leaves nobody waiting.
class Event {
  public:
    Event() : shared_{std::make_shared<Shared>()}, original_{true} {}
    Event(const Event& other) : shared_{other.shared_} {}
    Event& operator=(const Event&) = delete;
    ~Event() {
        if (original_) set();
    }

    void set() const {
        const std::lock_guard held(shared_->mutex);
        shared_->happened = true;
        shared_->changed.notify_all();
    }
    void wait() const {
        std::unique_lock held(shared_->mutex);
        shared_->changed.wait(held, [this] { return shared_->happened; });
    }
    [[nodiscard]] bool wait_for(std::chrono::nanoseconds limit) const {
        std::unique_lock held(shared_->mutex);
        return shared_->changed.wait_for(held, limit, [this] { return shared_->happened; });
    }
    [[nodiscard]] bool happened() const {
        const std::lock_guard held(shared_->mutex);
        return shared_->happened;
    }

  private:
    struct Shared {
        std::mutex mutex;
        std::condition_variable changed;
        bool happened = false;
    };
    std::shared_ptr<Shared> shared_;
    bool original_ = false;
};

}  // namespace muster::test
