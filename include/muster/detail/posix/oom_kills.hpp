// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <muster/detail/posix/process.hpp>
#include <muster/detail/posix/read_file.hpp>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>

namespace muster::detail::posix {

/// Tells which deaths were most likely the system's doing, because it had no memory left.
///
/// It keeps no account of whom it killed for that, but counts how many, in all control groups. So
/// one such kill explains one death, the next that is asked about.
/// Making one, and each question about a kill, reads a file that the system takes 0.2 ms to write.
/// Thread safety: none; one thread at a time.
class OomKills {
  public:
    /// Whether the end of a process that this program did not kill is explained so.
    bool explain(const ExitStatus& end) noexcept {
        if (end.signal != SIGKILL) return false;
        const std::optional<std::uint64_t> all = look();
        const bool more = all && explained_ && *all > *explained_;
        explained_ = more ? *explained_ + 1 : all;
        return more;
    }

    /// The count in the text of a /proc/vmstat, if it has one.
    static std::optional<std::uint64_t> count(std::string_view text) noexcept {
        constexpr std::string_view name = "\noom_kill ";
        const std::size_t place = text.find(name);
        if (place == std::string_view::npos) return std::nullopt;
        std::uint64_t number = 0;
        const char* const digits = text.data() + place + name.size();
        const auto read = std::from_chars(digits, text.data() + text.size(), number);
        return read.ec == std::errc() ? std::optional(number) : std::nullopt;
    }

  private:
    static std::optional<std::uint64_t> look() noexcept {
        try {
            return count(read_file("/proc/vmstat").value_or(""));
        } catch (const std::bad_alloc&) {  // Then it cannot be told.
            return std::nullopt;
        }
    }

    std::optional<std::uint64_t> explained_ = look();
};

}  // namespace muster::detail::posix
