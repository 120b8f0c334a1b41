// SPDX-License-Identifier: MIT
#pragma once

#include "board.hpp"
#include "options.hpp"

namespace chaos {

/// The process whose pools, workers and primitives are disturbed: round after round until the time
/// is up. The exit code; what it found is on the board.
int run_subject(const Options& options, Board& board);

}  // namespace chaos
