// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/program.hpp"

namespace chaos {

/// The letter that says what a process does; 'Z' for one that has ended, ' ' for none.
inline char state_of(::pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');
    return name_end == std::string::npos ? ' ' : text[name_end + 2];
}

/// What this process has that could be left behind.
struct Belongings {
    std::set<int> descriptors = muster::test::open_descriptors();
    std::vector<::pid_t> children = muster::test::children_of();
    std::size_t mappings = shared_mappings();

    [[nodiscard]] bool more_than(const Belongings& before) const {
        return descriptors.size() > before.descriptors.size() ||
               children.size() > before.children.size() || mappings > before.mappings;
    }

    /// What was not there before.
    [[nodiscard]] std::string beyond(const Belongings& before) const {
        std::string all = "descriptors";
        for (const int fd : descriptors) {
            if (before.descriptors.contains(fd)) continue;
            std::error_code gone;
            const auto target =
                std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), gone);
            all += " " + std::to_string(fd) + "=" + target.string();
        }
        all += ", children";
        for (const ::pid_t pid : children)
            if (std::count(before.children.begin(), before.children.end(), pid) == 0)
                all += " " + std::to_string(pid) + state_of(pid);
        return all + ", shared mappings " + std::to_string(before.mappings) + " and then " +
               std::to_string(mappings);
    }

    /// What is shared with other processes. The rest of the memory is the allocator's business.
    static std::size_t shared_mappings() {
        std::ifstream maps("/proc/self/maps");
        std::size_t count = 0;
        for (std::string range, permissions, line; maps >> range >> permissions;) {
            std::getline(maps, line);
            if (permissions.back() == 's') ++count;
        }
        return count;
    }
};

/// A name for what unrelated programs share: this run's own.
inline std::string own_name() { return "chaos-" + std::to_string(::getpid()); }

/// How many files of such names there are in /dev/shm.
inline std::size_t named_memories() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
        count += entry.path().filename().string().ends_with("." + own_name()) ? 1 : 0;
    return count;
}

/// Those that this process's children have left to its parent, which takes them in, and that live.
inline std::vector<::pid_t> orphans() {
    std::vector<::pid_t> living;
    for (const ::pid_t pid : muster::test::children_of(std::to_string(::getppid()))) {
        const char state = state_of(pid);
        if (pid != ::getpid() && state != 'Z' && state != 'X' && state != ' ')
            living.push_back(pid);
    }
    return living;
}

/// Waits for their end, which follows their parents' at once. False if they stay.
inline bool orphans_end() {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!orphans().empty()) {
        if (std::chrono::steady_clock::now() > limit) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

}  // namespace chaos
