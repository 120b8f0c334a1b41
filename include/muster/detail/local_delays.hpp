// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <vector>

#include <muster/detail/ref.hpp>
#include <muster/detail/shared_state.hpp>

namespace muster::detail {

/// The tasks that wait for their next attempt in the thread that ran the one before.
///
/// Thread safety: all members.
class LocalDelays {
  public:
    /// One of them, as long as this lives. It allocates nothing.
    class Entry {
      public:
        Entry(LocalDelays& all, StateBase& task) noexcept : all_{all}, task_{task} {
            const std::lock_guard held(all_.mutex_);
            next_ = all_.first_;
            if (next_) next_->before_ = this;
            all_.first_ = this;
        }
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;
        ~Entry() {
            const std::lock_guard held(all_.mutex_);
            (before_ ? before_->next_ : all_.first_) = next_;
            if (next_) next_->before_ = before_;
        }

      private:
        friend class LocalDelays;

        LocalDelays& all_;
        StateBase& task_;
        Entry* before_ = nullptr;
        Entry* next_ = nullptr;
    };

    [[nodiscard]] std::vector<Ref<StateBase>> tasks() const {
        std::vector<Ref<StateBase>> all;
        const std::lock_guard held(mutex_);
        for (const Entry* entry = first_; entry; entry = entry->next_)
            all.push_back(Ref<StateBase>::share(&entry->task_));
        return all;
    }

  private:
    mutable std::mutex mutex_;
    Entry* first_ = nullptr;
};

}  // namespace muster::detail
