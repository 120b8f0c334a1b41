// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <exception>
#include <new>
#include <system_error>

#include "board.hpp"

namespace chaos {

/// What a round has beyond its tasks. What of it has really come is on the board.
struct Weather {
    bool blows = false;        ///< Workers are struck from outside.
    bool servers_die = false;  ///< And what they are copied from.
    bool faults = false;       ///< System calls fail.
    bool initializer_fails = false;
    bool forced_end = false;      ///< kill_workers() or terminate_workers().
    bool cancelling_end = false;  ///< shutdown({.cancel_futures = true}).
    std::uint32_t room = 0;       ///< How many KiB a worker gets beyond what it has; 0: all.
};

/// Whether a pool may be broken by now. One whose workers are struck when they start is so after
/// three of them; one whose server is gone may be at once.
inline bool may_be_broken(const Board& board, const Weather& weather) {
    return weather.initializer_fails || weather.forced_end || board.faulted() ||
           board.server_was_struck() || board.struck() >= 3;
}

/// Whether this is how the library tells that a system call has failed.
inline bool is_the_systems(const std::exception& error) {
    return dynamic_cast<const std::system_error*>(&error) ||
           dynamic_cast<const std::bad_alloc*>(&error);
}

}  // namespace chaos
