// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <string>
#include <string_view>

namespace muster::detail::posix {

/// A second descriptor of the memory that `anonymous_memory(label, …)` made in this process or in
/// the one that this is a copy of; empty if none is open, or the system doesn't tell.
///
/// Throws: `std::system_error`.
inline Fd find_memory(const std::string& label) {
    const std::string wanted = "/memfd:" + label + " (deleted)";
    int lowest = -1;
    ::DIR* const directory = ::opendir("/proc/self/fd");
    if (directory == nullptr) return {};
    while (const ::dirent* const entry = ::readdir(directory)) {
        std::array<char, 256> target{};
        const auto size =
            ::readlinkat(::dirfd(directory), entry->d_name, target.data(), target.size());
        if (size < 0 || std::string_view(target.data(), static_cast<std::size_t>(size)) != wanted)
            continue;
        const int fd = std::atoi(entry->d_name);
        lowest = lowest == -1 ? fd : std::min(lowest, fd);
    }
    ::closedir(directory);
    return lowest == -1 ? Fd{} : duplicate_above(lowest, STDERR_FILENO + 1);
}

}  // namespace muster::detail::posix
