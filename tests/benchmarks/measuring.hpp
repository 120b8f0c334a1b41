// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <iomanip>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace muster::benchmark {

using Seconds = double;
using Clock = std::chrono::steady_clock;

/// Of one run of `action`.
template <typename F>
Seconds time_of(F&& action) {
    const auto begin = Clock::now();
    action();
    return std::chrono::duration<Seconds>(Clock::now() - begin).count();
}

template <typename T>
T median(std::vector<T> figures) {
    const auto middle = figures.begin() + static_cast<std::ptrdiff_t>(figures.size() / 2);
    std::nth_element(figures.begin(), middle, figures.end());
    return *middle;
}

/// Runs the script that lies beside a benchmark's `source`, and reads the lines `name seconds` that
/// it prints. No figures if it can't be run.
inline std::map<std::string, Seconds> measure_python(const char* source) {
    const auto script = std::filesystem::path(source).replace_extension(".py");
    const std::string command = "python3 '" + script.string() + "'";
    std::string printed;
    if (std::FILE* output = ::popen(command.c_str(), "r")) {
        for (int c = std::fgetc(output); c != EOF; c = std::fgetc(output))
            printed += static_cast<char>(c);
        ::pclose(output);
    }
    std::map<std::string, Seconds> figures;
    std::istringstream lines(printed);
    std::string name;
    for (Seconds seconds = 0; lines >> name >> seconds;) figures[name] = seconds;
    return figures;
}

inline constexpr const char* no_python = "No figures of Python's: is there a python3?\n";

/// Three digits of it, or all before the point.
inline std::string number(double value, const char* unit = "") {
    std::ostringstream text;
    text << std::fixed << std::setprecision(value < 10 ? 2 : value < 100 ? 1 : 0) << value << unit;
    return text.str();
}

inline std::string duration(Seconds seconds) {
    return seconds < 1e-6   ? number(seconds * 1e9, " ns")
           : seconds < 1e-3 ? number(seconds * 1e6, " us")
                            : number(seconds * 1e3, " ms");
}

}  // namespace muster::benchmark
