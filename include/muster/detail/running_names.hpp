// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <string>
#include <vector>

namespace muster::detail {

/// The names of the tasks that run in this process.
///
/// Thread safety: all members.
class RunningNames {
  public:
    /// Adds a name for as long as it lives, on the stack of who runs the task.
    class Entry {
      public:
        Entry(RunningNames& all, const std::string& name) noexcept : all_{all}, name_{name} {
            const std::lock_guard held(all_.lock_);
            older_ = all_.newest_;
            if (older_) older_->newer_ = this;
            all_.newest_ = this;
        }
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;
        ~Entry() {
            const std::lock_guard held(all_.lock_);
            (newer_ ? newer_->older_ : all_.newest_) = older_;
            if (older_) older_->newer_ = newer_;
        }

      private:
        friend RunningNames;
        RunningNames& all_;
        const std::string& name_;
        Entry* older_ = nullptr;
        Entry* newer_ = nullptr;
    };

    [[nodiscard]] std::vector<std::string> all() const {
        std::vector<std::string> names;
        const std::lock_guard held(lock_);
        for (const Entry* entry = newest_; entry; entry = entry->older_)
            names.push_back(entry->name_);
        return names;
    }

  private:
    mutable std::mutex lock_;
    Entry* newest_ = nullptr;
};

}  // namespace muster::detail
