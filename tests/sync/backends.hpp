// SPDX-License-Identifier: MIT
#pragma once

#include <muster/backends.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "support/asleep.hpp"

// For TEST_CASE_TEMPLATE: what threads and processes promise alike. What workers run has neither
// captures nor references: handles are its arguments, and it tells what it saw through a queue.
#ifdef TEST_THREAD_SANITIZER  // It sees one process at a time, and makes them start slowly.
#define MUSTER_BACKENDS muster::Threads
#else
#define MUSTER_BACKENDS muster::Threads, muster::Processes
#endif

namespace muster::test {

/// Workers that all make the same call, and are waited for at the end.
template <typename Backend>
class Crew {
  public:
    template <typename F, typename... Args>
    explicit Crew(std::size_t size, F fn, const Args&... args) {
        workers_.reserve(size);
        for (std::size_t i = 0; i < size; ++i) {
            workers_.emplace_back(fn, args...);
            workers_.back().start();
        }
    }

    /// Whether all have ended, soon.
    [[nodiscard]] bool join() const {
        for (const auto& worker : workers_)
            if (!worker.join_for(patience)) return false;
        return true;
    }
    /// Whether all wait for something or have ended, soon.
    [[nodiscard]] bool falls_asleep() const {
        for (const auto& worker : workers_)
            if (!test::falls_asleep(worker)) return false;
        return true;
    }

  private:
    std::vector<typename Backend::Worker> workers_;
};

/// The next `count` items, sorted; fewer when no more come.
template <typename Queue>
auto next(const Queue& queue, std::size_t count) {
    std::vector<typename decltype(queue.get())::value_type> items;
    while (items.size() < count) {
        auto item = queue.get_for(patience);
        if (!item) break;
        items.push_back(*std::move(item));
    }
    std::sort(items.begin(), items.end());
    return items;
}

/// All items that are there, in the order in which the queue gives them.
template <typename Queue>
auto drain(const Queue& queue) {
    std::vector<typename decltype(queue.get())::value_type> items;
    while (auto item = queue.try_get()) items.push_back(*std::move(item));
    return items;
}

}  // namespace muster::test
