// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace log_analyzer {

inline constexpr std::string_view usage =
    R"(usage: log_analyzer FILE [--executor inline|threads|processes] [--workers N]
                         [--chunk BYTES] [--json]
       log_analyzer --compare FILE [--workers N] [--chunk BYTES]
       log_analyzer --generate BYTES FILE

Analyses a web server's access log (Common or Combined Log Format, with or without a
response time at the end of the line).

  --executor   who analyses the chunks of the file (processes)
  --workers    how many of them work at the same time (one per usable CPU)
  --chunk      how much of the file is one task (8M)
  --json       print one JSON object instead of the report
  --compare    run all executors, check that their results are identical, print the times
  --generate   write a synthetic log of about so many bytes

BYTES may end in K, M or G.
)";

/// What the command line asks for.
struct Options {
    enum class Action { analyze, compare, generate, help };

    Action action = Action::analyze;
    std::string file;
    std::string executor = "processes";
    std::optional<std::size_t> workers;  ///< Empty: one per usable CPU.
    std::uint64_t chunk_size = 8 * 1024 * 1024;
    std::uint64_t generated_size = 0;
    bool json = false;
};

/// Throws: `std::invalid_argument` unless the text is a number of at least 1.
inline std::uint64_t parse_count(std::string_view option, std::string_view text) {
    std::uint64_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || end != text.data() + text.size() || count == 0)
        throw std::invalid_argument(std::string(option) + " needs a number of at least 1, not '" +
                                    std::string(text) + "'");
    return count;
}

/// As `parse_count`, in bytes: `64M` is 64 times 1024 * 1024.
inline std::uint64_t parse_bytes(std::string_view option, std::string_view text) {
    const std::string_view number = text.substr(0, text.find_last_not_of("KMG") + 1);
    const std::string_view unit = text.substr(number.size());
    const unsigned shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 0;
    const std::uint64_t count = parse_count(option, unit.size() > 1 ? text : number);
    if (count > std::numeric_limits<std::uint64_t>::max() >> shift)
        throw std::invalid_argument(std::string(option) + ": '" + std::string(text) +
                                    "' is too large");
    return count << shift;
}

/// Throws: `std::invalid_argument` unless the text names an executor.
inline std::string parse_executor(const std::string& text) {
    if (text != "inline" && text != "threads" && text != "processes")
        throw std::invalid_argument("--executor is inline, threads or processes, not '" + text +
                                    "'");
    return text;
}

/// Throws: `std::invalid_argument` with a sentence about the first thing that is wrong.
inline Options parse_options(const std::vector<std::string>& arguments) {
    Options options;
    std::set<std::string> given;
    auto argument = arguments.begin();
    const auto value_of = [&](const std::string& option) -> const std::string& {
        if (argument == arguments.end()) throw std::invalid_argument(option + " needs a value");
        return *argument++;
    };
    const auto refuse = [&](const std::string& option, const std::string& beside) {
        if (given.contains(option))
            throw std::invalid_argument(option + " means nothing beside " + beside);
    };

    while (argument != arguments.end()) {
        const std::string& option = *argument++;
        given.insert(option);
        if (option == "--help") {
            options.action = Options::Action::help;
            return options;
        } else if (option == "--generate") {
            options.action = Options::Action::generate;
            options.generated_size = parse_bytes(option, value_of(option));
        } else if (option == "--compare") {
            options.action = Options::Action::compare;
        } else if (option == "--executor") {
            options.executor = parse_executor(value_of(option));
        } else if (option == "--workers") {
            options.workers = parse_count(option, value_of(option));
        } else if (option == "--chunk") {
            options.chunk_size = parse_bytes(option, value_of(option));
        } else if (option == "--json") {
            options.json = true;
        } else if (option.starts_with('-')) {
            throw std::invalid_argument("there is no option '" + option + "' (try --help)");
        } else if (!options.file.empty()) {
            throw std::invalid_argument("one file at a time, not also '" + option + "'");
        } else {
            options.file = option;
        }
    }
    if (options.file.empty()) throw std::invalid_argument("which file? (try --help)");
    if (given.contains("--compare"))
        for (const auto* option : {"--generate", "--executor", "--json"})
            refuse(option, "--compare");
    if (given.contains("--generate"))
        for (const auto* option : {"--executor", "--workers", "--chunk", "--json"})
            refuse(option, "--generate");
    return options;
}

}  // namespace log_analyzer
