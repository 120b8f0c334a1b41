// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include <muster/detail/os.hpp>

namespace muster::detail {

/// The values that a `local` has in all threads. It owns them; threads know where theirs is.
class LocalValues {
  public:
    LocalValues() = default;
    LocalValues(const LocalValues&) = delete;
    LocalValues& operator=(const LocalValues&) = delete;
    virtual ~LocalValues() = default;

    /// A new value. **Throws** what making it throws.
    virtual void* make() = 0;
    /// Destroys one.
    virtual void drop(void* value) noexcept = 0;
    /// The value of a thread that has destroyed its own already. It goes with the local.
    virtual void* late() = 0;
};

template <typename T, typename Factory>
class LocalValuesOf final : public LocalValues {
  public:
    explicit LocalValuesOf(Factory factory) : factory_{std::move(factory)} {}

    void* make() override {
        std::unique_ptr<T> value(new T(factory_()));
        T* const address = value.get();
        const std::lock_guard held(mutex_);
        values_.emplace(address, std::move(value));
        return address;
    }
    void drop(void* value) noexcept override {
        typename Values::node_type
            dropped;  // Destroyed without the lock: its destructor is foreign.
        const std::lock_guard held(mutex_);
        dropped = values_.extract(value);
    }
    void* late() override {
        const std::lock_guard held(mutex_);
        std::unique_ptr<T>& value = late_[os::thread_id()];
        if (!value) value.reset(new T(factory_()));
        return value.get();
    }

  private:
    using Values = std::unordered_map<void*, std::unique_ptr<T>>;

    const Factory factory_;
    std::mutex mutex_;
    Values values_;
    std::unordered_map<long long, std::unique_ptr<T>> late_;
};

/// Where the calling thread's values are, of all locals.
class LocalTable {
  public:
    LocalTable() = default;
    LocalTable(const LocalTable&) = delete;
    LocalTable& operator=(const LocalTable&) = delete;
    /// Destroys the thread's values, and those that their destructors make.
    ~LocalTable() {
        while (!entries_.empty()) {
            const void* const values = entries_.begin()->first;
            // Still in the table meanwhile: the value's destructor may ask for it.
            entries_.begin()->second.drop();
            entries_.erase(values);
        }
        over() = true;
    }

    /// The value for `values`; makes it if there is none.
    static void* find(const std::shared_ptr<LocalValues>& values) {
        if (over()) return values->late();
        LocalTable& table = current();
        // The key stays taken as long as the entry is there: it keeps the object's memory, though
        // not the object.
        const auto entry = table.entries_.find(values.get());
        if (entry != table.entries_.end()) return entry->second.value;
        table.sweep();
        void* const value = values->make();  // Which may use other locals.
        try {
            table.entries_.emplace(values.get(), Entry{values, value});
        } catch (...) {
            values->drop(value);
            throw;
        }
        return value;
    }

  private:
    struct Entry {
        std::weak_ptr<LocalValues> values;
        void* value;

        void drop() const noexcept {
            if (const std::shared_ptr<LocalValues> alive = values.lock()) alive->drop(value);
        }
    };

    static bool& over() noexcept {
        static thread_local constinit bool over = false;
        return over;
    }
    static LocalTable& current() {
        static thread_local LocalTable table;
        return table;
    }

    /// Forgets locals that are gone, when they may be half of all.
    void sweep() noexcept {
        if (entries_.size() < enough_) return;
        for (auto entry = entries_.begin(); entry != entries_.end();)
            entry = entry->second.values.expired() ? entries_.erase(entry) : std::next(entry);
        enough_ = 2 * entries_.size() + 8;
    }

    std::unordered_map<const void*, Entry> entries_;
    std::size_t enough_ = 8;
};

}  // namespace muster::detail
