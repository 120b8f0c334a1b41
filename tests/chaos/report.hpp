// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>

#include "board.hpp"
#include "options.hpp"

namespace chaos {

/// Prints what was done and the verdict. True if all is well.
inline bool report(const Options& options, const Board& board, std::chrono::seconds time) {
    const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf(
        "chaos --seconds %lld --seed %llu --start-method %s --part %s: %llu rounds in %lld s\n",
        static_cast<long long>(options.time.count()), number(options.seed),
        options.start_method.c_str(), options.part.c_str(), number(board.round.load()),
        static_cast<long long>(time.count()));
    for (std::size_t i = 0; i < tally_names.size(); ++i)
        std::printf("  %-30s %10llu\n", tally_names[i], number(board.tallies[i].load()));
    std::printf("blows from outside\n");
    for (std::size_t i = 0; i < blow_names.size(); ++i)
        std::printf("  %-30s %10llu\n", blow_names[i], number(board.blows[i].load()));
    std::printf("calls that failed\n");
    for (std::size_t i = 0; i < fault_names.size(); ++i)
        std::printf("  %-30s %10llu\n", fault_names[i], number(board.injected[i].load()));

    const std::uint32_t violations = board.violation_count.load();
    for (std::uint32_t i = 0; i < std::min<std::size_t>(violations, Board::most_violations); ++i)
        std::printf("VIOLATION in %s\n", board.violations[i].data());
    const bool done = board.round.load() > 0;
    if (violations != 0)
        std::printf("verdict: %u violations\n", violations);
    else
        std::printf("verdict: %s\n", done ? "all promises kept" : "nothing was done");
    return violations == 0 && done;
}

}  // namespace chaos
