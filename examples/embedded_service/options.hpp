// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace embedded_service {

inline constexpr std::string_view usage =
    R"(usage: embedded_service [--in thread|process] [--port N]

A window with a small HTTP service of its own, on the loopback address.

  --in      where the service runs (process)
  --port    where it listens (8123); 0 is any port that is free

The window obeys what it reads from standard input, one command a line: start, stop,
restart, quit. The end of the input is quit.

The exit code is 0; or 1 if the service could not start when it was last asked to; or 2 for
wrong options.
)";

/// What the command line asks for.
struct Options {
    bool help = false;
    bool in_process = true;
    std::uint16_t port = 8123;
};

/// Throws: `std::invalid_argument` unless the text is the number of a port.
inline std::uint16_t parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size())
        throw std::invalid_argument("--port is a number up to 65535, not '" + std::string(text) +
                                    "'");
    return port;
}

/// Throws: `std::invalid_argument` with a sentence about the first thing that is wrong.
inline Options parse_options(const std::vector<std::string>& arguments) {
    Options options;
    for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
        const std::string& option = *argument;
        if (option == "--help") {
            options.help = true;
            return options;
        }
        if (option != "--in" && option != "--port")
            throw std::invalid_argument("there is no option '" + option + "' (try --help)");
        if (++argument == arguments.end()) throw std::invalid_argument(option + " needs a value");
        if (option == "--port")
            options.port = parse_port(*argument);
        else if (*argument == "thread" || *argument == "process")
            options.in_process = *argument == "process";
        else
            throw std::invalid_argument("--in is thread or process, not '" + *argument + "'");
    }
    return options;
}

}  // namespace embedded_service
