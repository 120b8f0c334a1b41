// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <muster/detail/posix/read_file.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// The share of the CPUs that the control groups of a process (containers, services) leave it. All
// functions read text or a folder that is handed in.

namespace muster::detail::posix {

/// Takes the text up to a separator, or the rest, off the front.
constexpr std::string_view take_until(std::string_view& text, char separator) noexcept {
    const std::string_view taken = text.substr(0, text.find(separator));
    text.remove_prefix(std::min(taken.size() + 1, text.size()));
    return taken;
}

/// Is `word` one of the words in a list with commas?
constexpr bool lists(std::string_view list, std::string_view word) noexcept {
    while (!list.empty()) {
        if (take_until(list, ',') == word) return true;
    }
    return false;
}

/// The whole CPUs in a quota of so many microseconds per period, rounded up; empty if that is no
/// limit, or no number.
inline std::optional<std::size_t> cpus_of_quota(std::string_view quota, std::string_view period) {
    const auto number = [](std::string_view text) {
        std::int64_t value = -1;
        std::from_chars(text.data(), text.data() + text.size(), value);
        return value;
    };
    const std::int64_t used = number(quota);
    const std::int64_t of = number(period);
    if (used <= 0 || of <= 0) return std::nullopt;
    return static_cast<std::size_t>(used / of + (used % of != 0 ? 1 : 0));
}

/// The limit in the text of a `cpu.max` ("150000 100000", "max 100000").
inline std::optional<std::size_t> cpus_of_max(std::string_view text) {
    const std::string_view quota = take_until(text, ' ');
    return cpus_of_quota(quota, text);
}

/// The two generations of control groups; a machine may have both.
enum class CgroupVersion { v1, v2 };

/// The group of a process in the text of its /proc/<pid>/cgroup; empty if it is in none that can
/// limit its CPUs.
inline std::optional<std::string> cgroup_path(std::string_view text, CgroupVersion version) {
    while (!text.empty()) {
        std::string_view path = take_until(text, '\n');  // "4:cpu,cpuacct:/a/b", "0::/a/b"
        (void)take_until(path, ':');
        const std::string_view controllers = take_until(path, ':');
        const bool matches =
            version == CgroupVersion::v2 ? controllers.empty() : lists(controllers, "cpu");
        if (matches && path.starts_with('/')) return std::string{path};
    }
    return std::nullopt;
}

/// Where a hierarchy of groups is seen as folders.
struct CgroupMount {
    std::string root = {};   ///< The group that the topmost folder is.
    std::string point = {};  ///< The topmost folder.
};

/// Finds the hierarchy in the text of a /proc/<pid>/mountinfo.
inline std::optional<CgroupMount> cgroup_mount(std::string_view text, CgroupVersion version) {
    while (!text.empty()) {
        // 30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
        std::string_view line = take_until(text, '\n');
        const std::size_t middle = line.find(" - ");
        if (middle == line.npos) continue;
        std::string_view kind = line.substr(middle + 3);
        const std::string_view type = take_until(kind, ' ');
        (void)take_until(kind, ' ');
        const bool matches = version == CgroupVersion::v2 ? type == "cgroup2"
                                                          : type == "cgroup" && lists(kind, "cpu");
        if (!matches) continue;
        for (int field = 0; field < 3; ++field) (void)take_until(line, ' ');
        const std::string_view root = take_until(line, ' ');
        return CgroupMount{.root = std::string{root}, .point = std::string{take_until(line, ' ')}};
    }
    return std::nullopt;
}

/// The limit that one group sets, by its folder.
inline std::optional<std::size_t> cpus_of_group(const std::string& folder, CgroupVersion version) {
    if (version == CgroupVersion::v2)
        return cpus_of_max(read_file(folder + "/cpu.max").value_or(""));
    return cpus_of_quota(read_file(folder + "/cpu.cfs_quota_us").value_or(""),
                         read_file(folder + "/cpu.cfs_period_us").value_or(""));
}

/// The smallest limit of a group and all groups above it; empty if none sets any.
///
/// `proc` and `files` are the folders with the process's own files and with the system's root:
/// "/proc/self" and "".
inline std::optional<std::size_t> cgroup_cpus(const std::string& proc, const std::string& files,
                                              CgroupVersion version) {
    const auto path = cgroup_path(read_file(proc + "/cgroup").value_or(""), version);
    const auto mount = cgroup_mount(read_file(proc + "/mountinfo").value_or(""), version);
    if (!path || !mount) return std::nullopt;
    // In a container the topmost folder may be the container's group instead of the system's.
    std::string below = mount->root == "/" ? *path : std::string{};
    if (path->starts_with(mount->root + "/")) below = path->substr(mount->root.size());

    std::optional<std::size_t> least;
    for (;;) {
        const auto limit = cpus_of_group(files + mount->point + below, version);
        if (limit) least = std::min(*limit, least.value_or(*limit));
        const std::size_t last = below.rfind('/');
        if (last == below.npos) return least;
        below.resize(last);
    }
}

}  // namespace muster::detail::posix
