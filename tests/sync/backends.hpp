// SPDX-License-Identifier: MIT
#pragma once

#include <muster/backends.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// For TEST_CASE_TEMPLATE: what threads and processes promise alike. What workers run has neither
// captures nor references: handles are its arguments, and it tells what it saw through a queue.
#ifdef TEST_THREAD_SANITIZER  // It sees one process at a time, and makes them start slowly.
#define MUSTER_BACKENDS muster::Threads
#else
#define MUSTER_BACKENDS muster::Threads, muster::Processes
#endif

namespace muster::test {

/// How long to wait for what is certain to come.
inline constexpr std::chrono::seconds patience{200};

/// Whether it becomes true in time.
template <typename Condition>
bool soon(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

/// How often the thread with this system's id has gone to sleep; -1 while it does not.
inline long sleeps(long long id) {
    std::ifstream status("/proc/" + std::to_string(id) + "/status");
    bool asleep = false;
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("State:")) asleep = line.find('S', 6) != line.npos;
        if (line.starts_with("voluntary_ctxt_switches:"))
            return asleep ? std::stol(line.substr(24)) : -1;
    }
    return -1;
}

/// Whether the worker soon sleeps, and goes on sleeping for a while: it waits for somebody else. Or
/// has ended.
template <typename Worker>
bool falls_asleep(const Worker& worker) {
    long before = -1;
    int same = 0;
    return soon([&] {
        if (!worker.is_alive()) return true;
        const long now = sleeps(worker.id());
        same = now != -1 && now == before ? same + 1 : 0;
        before = now;
        return same == 5;
    });
}

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

}  // namespace muster::test
