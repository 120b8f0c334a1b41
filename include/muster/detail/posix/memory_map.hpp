// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <muster/detail/posix/read_file.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace muster::detail::posix {

/// Which file is mapped where, as the kernel tells it.
class MemoryMap {
  public:
    /// Of this process; nothing is mapped where /proc is missing.
    static MemoryMap read() { return MemoryMap{read_file("/proc/self/maps").value_or("")}; }

    explicit MemoryMap(std::string text) noexcept : text_{std::move(text)} {}

    /// The absolute path of the file mapped at an address; empty if it is no file, or was deleted.
    [[nodiscard]] std::string file_at(std::uintptr_t address) const {
        for (std::string_view rest = text_; !rest.empty();) {
            const std::string_view line = rest.substr(0, rest.find('\n'));
            rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());

            // 7f1c0000-7f1c2000 r--p 00000000 fe:01 1234     /usr/lib/libx.so
            std::uintptr_t begin = 0;
            std::uintptr_t end = 0;
            const char* const last = line.data() + line.size();
            const auto first = std::from_chars(line.data(), last, begin, 16);
            if (first.ptr == last || *first.ptr != '-') continue;
            std::from_chars(first.ptr + 1, last, end, 16);
            if (begin <= address && address < end) return path_in(line);
        }
        return {};
    }

  private:
    static std::string path_in(std::string_view line) {
        constexpr std::string_view deleted = " (deleted)";
        const std::size_t start = line.find('/');
        if (start == line.npos || line.ends_with(deleted)) return {};
        std::string path{line.substr(start)};
        // A newline in a name is the one character that the kernel writes otherwise.
        constexpr std::string_view newline = "\\012";
        for (std::size_t at = path.find(newline); at != path.npos; at = path.find(newline, at + 1))
            path.replace(at, newline.size(), 1, '\n');
        return path;
    }

    std::string text_;
};

}  // namespace muster::detail::posix
