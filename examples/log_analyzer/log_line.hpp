// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ratio>
#include <string_view>

namespace log_analyzer {

/// Whole microseconds: their sum does not depend on the order of adding, as a sum of doubles would.
using Microseconds = std::chrono::duration<std::uint64_t, std::micro>;

/// What the report needs of one request. The address points into the text that was parsed.
struct LogLine {
    std::string_view address;
    unsigned hour = 0;  ///< 0 to 23, in the time zone in which the server wrote it.
    unsigned status = 0;
    std::optional<Microseconds> response_time;
};

/// Takes fields off the front of a line. Each function says whether its field was there.
class FieldReader {
  public:
    explicit FieldReader(std::string_view text) noexcept : rest_{text} {}

    [[nodiscard]] bool at_end() const noexcept { return rest_.empty(); }
    [[nodiscard]] bool at(char next) const noexcept { return rest_.starts_with(next); }

    bool skip(char expected) noexcept {
        if (!at(expected)) return false;
        rest_.remove_prefix(1);
        return true;
    }

    bool skip_past(std::string_view mark) noexcept {
        const std::size_t found = rest_.find(mark);
        if (found == std::string_view::npos) return false;
        rest_.remove_prefix(found + mark.size());
        return true;
    }

    /// Everything up to a space or the end, but not nothing.
    bool word(std::string_view& value) noexcept {
        value = rest_.substr(0, rest_.find(' '));
        rest_.remove_prefix(value.size());
        return !value.empty();
    }

    /// Exactly so many digits.
    template <std::size_t count>
    bool digits(unsigned& value) noexcept {
        if (rest_.size() < count) return false;
        value = 0;
        for (const char c : rest_.substr(0, count)) {
            if (!is_digit(c)) return false;
            value = value * 10 + static_cast<unsigned>(c - '0');
        }
        rest_.remove_prefix(count);
        return true;
    }

    /// A text between quotation marks, in which `\"` is no end.
    bool quoted() noexcept {
        if (!at('"')) return false;
        for (std::size_t end = rest_.find('"', 1); end != std::string_view::npos;
             end = rest_.find('"', end + 1)) {
            const std::size_t before = rest_.find_last_not_of('\\', end - 1);
            const std::size_t backslashes = end - 1 - before;
            if (backslashes % 2 == 0) {  // An even number of them escape each other, not the mark.
                rest_.remove_prefix(end + 1);
                return true;
            }
        }
        return false;
    }

    /// `Jan` is 1.
    bool month(unsigned& value) noexcept {
        constexpr std::string_view names = "JanFebMarAprMayJunJulAugSepOctNovDec";
        if (rest_.size() < 3) return false;
        const std::size_t found = names.find(rest_.substr(0, 3));
        if (found == std::string_view::npos || found % 3 != 0) return false;
        value = static_cast<unsigned>(found / 3 + 1);
        rest_.remove_prefix(3);
        return true;
    }

    /// Seconds with or without decimals, of which those past the sixth are dropped.
    bool seconds(Microseconds& value) noexcept {
        std::uint64_t whole = 0;
        if (const std::size_t length = number(whole); length == 0 || length > 9) return false;

        std::uint64_t micros = 0;
        if (skip('.')) {
            const std::string_view decimals = rest_.substr(0, 6);
            const std::size_t length = FieldReader{decimals}.number(micros);
            for (std::size_t place = length; place < 6; ++place) micros *= 10;
            if (std::uint64_t ignored = 0; number(ignored) == 0) return false;
        }
        value = Microseconds{whole * 1'000'000 + micros};
        return true;
    }

  private:
    static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

    /// Takes all digits there are, says how many. A value too large for the type is meaningless.
    std::size_t number(std::uint64_t& value) noexcept {
        const auto* end = std::find_if_not(rest_.data(), rest_.data() + rest_.size(), is_digit);
        const auto length = static_cast<std::size_t>(end - rest_.data());
        std::from_chars(rest_.data(), end, value);
        rest_.remove_prefix(length);
        return length;
    }

    std::string_view rest_;
};

/// Takes a time stamp such as `17/May/2015:10:05:03 +0000`, and keeps the hour of it.
inline bool read_hour(FieldReader& reader, unsigned& hour) noexcept {
    unsigned day = 0, month = 0, year = 0, minute = 0, second = 0, zone = 0;
    const bool complete = reader.digits<2>(day) && reader.skip('/') && reader.month(month) &&
                          reader.skip('/') && reader.digits<4>(year) && reader.skip(':') &&
                          reader.digits<2>(hour) && reader.skip(':') && reader.digits<2>(minute) &&
                          reader.skip(':') && reader.digits<2>(second) && reader.skip(' ') &&
                          (reader.skip('+') || reader.skip('-')) && reader.digits<4>(zone);
    if (!complete) return false;

    const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(year)},
                                           std::chrono::month{month}, std::chrono::day{day}};
    constexpr unsigned last_second = 60;  // A leap second.
    return date.ok() && hour < 24 && minute < 60 && second <= last_second && zone / 100 < 24 &&
           zone % 100 < 60;
}

/// The response time at the end of a line, behind `"referer" "agent"` if those are there.
inline std::optional<Microseconds> read_response_time(FieldReader reader) noexcept {
    if (!reader.skip(' ')) return std::nullopt;
    if (reader.at('"')) {
        const bool both =
            reader.quoted() && reader.skip(' ') && reader.quoted() && reader.skip(' ');
        if (!both) return std::nullopt;
    }
    Microseconds time{};
    if (!reader.seconds(time) || !reader.at_end()) return std::nullopt;
    return time;
}

/// Parses a line of the Common or Combined Log Format, with or without a response time at its end.
///
///     192.168.1.100 - - [15/Jan/2025:10:30:45 +0800] "GET /api/users HTTP/1.1" 200 1234 0.052
///
/// Empty if the line is malformed. What follows the size may be broken: it is left out then.
inline std::optional<LogLine> parse_log_line(std::string_view text) noexcept {
    FieldReader reader{text};
    LogLine line;
    std::string_view size;
    const bool well_formed = reader.word(line.address) && reader.skip_past(" [") &&
                             read_hour(reader, line.hour) && reader.skip(']') && reader.skip(' ') &&
                             reader.quoted() && reader.skip(' ') && reader.digits<3>(line.status) &&
                             reader.skip(' ') && reader.word(size);
    if (!well_formed) return std::nullopt;
    if (size != "-" && size.find_first_not_of("0123456789") != size.npos) return std::nullopt;

    line.response_time = read_response_time(reader);
    return line;
}

}  // namespace log_analyzer
