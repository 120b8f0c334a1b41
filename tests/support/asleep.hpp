// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

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

/// A thread that says its system's id when it is about to wait.
struct KnownThread {
    const std::atomic<long long>& number;
    [[nodiscard]] static bool is_alive() { return true; }
    [[nodiscard]] long long id() const { return number; }
};

/// Whether the `Thread` or `Process` soon sleeps, and goes on sleeping for a while: it waits for
/// somebody else. Or has ended.
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

}  // namespace muster::test
