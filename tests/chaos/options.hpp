// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

namespace chaos {

/// What the command line asks for.
struct Options {
    std::chrono::seconds time{20};
    std::uint64_t seed = 1;
    std::string start_method = "spawn";
    std::string part = "all";           ///< pools, primitives, all.
    std::chrono::seconds patience{60};  ///< Without progress for so long, it hangs.
    bool loud = false;                  ///< What the processes write to stderr is shown.

    static constexpr const char* usage =
        "chaos [--seconds N] [--seed S] [--start-method spawn|fork|forkserver]\n"
        "      [--part pools|primitives|all] [--patience SECONDS] [--loud]\n";

    /// Empty if the words are not as `usage` has them.
    static std::optional<Options> parse(int argc, char** argv) {
        Options options;
        for (int i = 1; i < argc; ++i) {
            const std::string name = argv[i];
            if (name == "--loud") {
                options.loud = true;
                continue;
            }
            if (++i == argc) return std::nullopt;
            const std::string value = argv[i];
            char* end = nullptr;
            const std::uint64_t number = std::strtoull(value.c_str(), &end, 10);
            const bool is_number = !value.empty() && *end == '\0';
            if (name == "--seconds" && is_number)
                options.time = std::chrono::seconds(number);
            else if (name == "--seed" && is_number)
                options.seed = number;
            else if (name == "--patience" && is_number)
                options.patience = std::chrono::seconds(number);
            else if (name == "--start-method" &&
                     (value == "spawn" || value == "fork" || value == "forkserver"))
                options.start_method = value;
            else if (name == "--part" &&
                     (value == "pools" || value == "primitives" || value == "all"))
                options.part = value;
            else
                return std::nullopt;
        }
        return options;
    }
};

}  // namespace chaos
