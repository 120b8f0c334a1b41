// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include <muster/errors.hpp>

namespace muster::detail {

/// How a round of a barrier ends: all pass it, or are told why not. The numbers lie in shared memory.
enum class RoundEnd : std::uint32_t { none, passed, abort, reset, timeout, action, death };

/// Throws: `BrokenBarrierError`, which says why. `dead`: the id of the process that died.
[[noreturn]] inline void throw_broken_barrier(RoundEnd by, std::uint64_t dead = 0) {
    std::string why;
    switch (by) {
        case RoundEnd::none:
        case RoundEnd::passed:
            break;  // Neither breaks it.
        case RoundEnd::abort:
            why = "abort() was called";
            break;
        case RoundEnd::reset:
            why = "it was reset while others waited";
            break;
        case RoundEnd::timeout:
            why = "one who waited has run out of time";
            break;
        case RoundEnd::action:
            why = "its action threw";
            break;
        case RoundEnd::death:
            why = "a process that had it has died (pid " + std::to_string(dead) + ")";
            break;
    }
    throw BrokenBarrierError("muster: the barrier is broken: " + why + "; reset() makes it as new");
}

}  // namespace muster::detail
