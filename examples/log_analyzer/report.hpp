// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <limits>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.hpp"
#include "summary.hpp"

namespace log_analyzer {

using Seconds = std::chrono::duration<double>;

/// A line of a table: an address or a status code, and how many requests it had.
using Count = std::pair<std::string, std::uint64_t>;

/// The addresses with the most requests, most first; equally busy ones in byte order.
inline std::vector<Count> busiest_addresses(const Summary& summary) {
    std::vector<Count> top(10);
    const auto end = std::partial_sort_copy(
        summary.addresses.begin(), summary.addresses.end(), top.begin(), top.end(),
        [](const auto& a, const auto& b) {
            return a.second != b.second ? a.second > b.second : a.first < b.first;
        });
    top.erase(end, top.end());
    return top;
}

/// The status codes that occurred: `404`, and `007` for what a broken server may write.
inline std::vector<Count> status_codes(const Summary& summary) {
    std::vector<Count> codes;
    for (std::size_t code = 0; code < summary.statuses.size(); ++code) {
        const std::string digits = std::to_string(code);
        if (summary.statuses[code] > 0)
            codes.emplace_back(std::string(3 - digits.size(), '0') + digits,
                               summary.statuses[code]);
    }
    return codes;
}

/// Empty if no line has a response time.
inline std::optional<Seconds> average_response_time(const Summary& summary) {
    if (summary.timed == 0) return std::nullopt;
    return Seconds{summary.response_time} / static_cast<double>(summary.timed);
}

/// A text that leaves a terminal's state alone, whatever a client has put into the log.
inline std::string printable(std::string text) {
    const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
    std::replace_if(text.begin(), text.end(), is_control, '?');
    return text;
}

/// Prints one JSON object in one line.
inline void print_json(std::ostream& out, const Summary& summary) {
    std::string_view comma;
    const auto separate = [&] { return std::exchange(comma, ", "); };

    out << "{\"lines\": " << summary.lines << ", \"malformed\": " << summary.malformed;
    out << ", \"hourly\": [";
    for (const std::uint64_t count : summary.hourly) out << separate() << count;

    out << "], \"status\": {";
    comma = "";
    for (const auto& [status, count] : status_codes(summary))
        out << separate() << json_string(status) << ": " << count;

    out << "}, \"top_ips\": [";
    comma = "";
    for (const auto& [address, count] : busiest_addresses(summary))
        out << separate() << '[' << json_string(address) << ", " << count << ']';

    out << "], \"average_response_time\": ";
    if (const auto average = average_response_time(summary))
        out << std::setprecision(std::numeric_limits<double>::digits10) << average->count();
    else
        out << "null";
    out << "}\n";
}

/// Prints the report that a person reads.
///
///     Requests per hour
///       00  ##############################                  361
///       01  ################################                360
inline void print_report(std::ostream& out, const Summary& summary, std::uint64_t bytes,
                         Seconds elapsed) {
    constexpr std::uint64_t bar_width = 48;
    const double megabytes = static_cast<double>(bytes) / 1e6;
    const std::uint64_t parsed = summary.lines - summary.malformed;
    out << std::fixed;

    out << "Requests per hour\n";
    const std::uint64_t most = *std::max_element(summary.hourly.begin(), summary.hourly.end());
    for (std::size_t hour = 0; hour < summary.hourly.size(); ++hour) {
        const std::uint64_t count = summary.hourly[hour];
        const std::string bar(most == 0 ? 0 : count * bar_width / most, '#');
        out << "  " << std::setfill('0') << std::setw(2) << hour << std::setfill(' ') << "  "
            << std::left << std::setw(bar_width) << bar << std::right << std::setw(12) << count
            << '\n';
    }

    out << "\nStatus codes\n" << std::setprecision(1);
    for (const auto& [status, count] : status_codes(summary)) {
        const double share = 100.0 * static_cast<double>(count) / static_cast<double>(parsed);
        out << "  " << status << std::setw(12) << count << std::setw(8) << share << " %\n";
    }

    out << "\nBusiest addresses\n";
    for (const auto& [address, count] : busiest_addresses(summary))
        out << "  " << std::left << std::setw(40) << printable(address) << std::right
            << std::setw(12) << count << '\n';

    if (const auto average = average_response_time(summary))
        out << "\nMean response time: " << std::setprecision(6) << average->count() << " s over "
            << summary.timed << " lines\n";

    out << '\n'
        << summary.lines << " lines, " << summary.malformed << " malformed\n"
        << std::setprecision(3) << elapsed.count() << " s, " << std::setprecision(1)
        << megabytes / elapsed.count() << " MB/s\n";
}

}  // namespace log_analyzer
