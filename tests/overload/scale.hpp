// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdlib>
#include <string>

namespace muster::test {

/// How much of something: what the environment says, else what an ordinary run takes.
inline std::size_t scale(const char* variable, std::size_t usual) {
    const char* const wanted = std::getenv(variable);
    return wanted ? std::stoul(wanted) : usual;
}

}  // namespace muster::test
