// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <optional>
#include <string>

namespace muster::detail::posix {

/// The content of a small file, as those of /proc are; empty if it can't be read.
inline std::optional<std::string> read_file(const std::string& path) {
    const Fd fd{retry_interrupted(
        [&] { return MUSTER_SYSCALL(open)(path.c_str(), O_RDONLY | O_CLOEXEC); })};
    if (!fd) return std::nullopt;
    std::string content;
    for (;;) {
        char block[4096];
        const auto size =
            retry_interrupted([&] { return MUSTER_SYSCALL(read)(fd.get(), block, sizeof block); });
        if (size == 0) return content;
        if (size < 0) return std::nullopt;
        content.append(block, static_cast<std::size_t>(size));
    }
}

}  // namespace muster::detail::posix
