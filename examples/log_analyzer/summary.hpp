// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "log_line.hpp"

namespace log_analyzer {

/// Lets a map of strings be searched by `std::string_view`, so that counting allocates nothing.
struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
        return std::hash<std::string_view>{}(text);
    }
};

/// What is known about some lines of a log: a few counts, however many lines there were.
///
/// A plain aggregate, so it crosses to another process without a word about how.
/// Summaries of the parts of a log, merged in any order, are equal to the summary of the whole.
struct Summary {
    std::uint64_t lines = 0;  ///< Without empty ones, with malformed ones.
    std::uint64_t malformed = 0;
    std::array<std::uint64_t, 24> hourly{};
    std::array<std::uint64_t, 1000> statuses{};  ///< 404 counts the lines with that status code.
    std::unordered_map<std::string, std::uint64_t, StringHash, std::equal_to<>> addresses;
    std::uint64_t timed = 0;       ///< How many lines had a response time.
    Microseconds response_time{};  ///< The sum of them.

    void add(std::string_view text);
    void merge(const Summary& other);

    bool operator==(const Summary&) const = default;
};

/// Counts one line, given without its line feed.
inline void Summary::add(std::string_view text) {
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) return;

    ++lines;
    const auto line = parse_log_line(text);
    if (!line) {
        ++malformed;
        return;
    }
    ++hourly[line->hour];
    ++statuses[line->status];
    if (line->response_time) {
        ++timed;
        response_time += *line->response_time;
    }
    if (const auto known = addresses.find(line->address); known != addresses.end()) {
        ++known->second;
    } else {
        addresses.emplace(line->address, 1);
    }
}

inline void Summary::merge(const Summary& other) {
    lines += other.lines;
    malformed += other.malformed;
    for (std::size_t hour = 0; hour < hourly.size(); ++hour) hourly[hour] += other.hourly[hour];
    for (std::size_t code = 0; code < statuses.size(); ++code)
        statuses[code] += other.statuses[code];
    for (const auto& [address, count] : other.addresses) addresses[address] += count;
    timed += other.timed;
    response_time += other.response_time;
}

/// Counts all lines of a text. The last one needs no line feed.
inline Summary summarize(std::string_view text) {
    Summary summary;
    while (!text.empty()) {
        const std::string_view line = text.substr(0, text.find('\n'));
        summary.add(line);
        text.remove_prefix(line.size() < text.size() ? line.size() + 1 : line.size());
    }
    return summary;
}

}  // namespace log_analyzer
