// SPDX-License-Identifier: MIT
#pragma once

#include <muster/process_pool_options.hpp>

#include "board.hpp"
#include "random.hpp"

namespace chaos {

/// One process pool, from its making to its end, and what it did judged.
void pool_round(Board& board, Random random, muster::StartMethod method);

}  // namespace chaos
