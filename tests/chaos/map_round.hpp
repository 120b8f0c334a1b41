// SPDX-License-Identifier: MIT
#pragma once

#include <muster/process_pool_options.hpp>

#include "board.hpp"
#include "random.hpp"

namespace chaos {

/// A process pool that goes through elements, with map, and has tasks without futures, and whose
/// workers are struck meanwhile.
void map_round(Board& board, Random random, muster::StartMethod method);

}  // namespace chaos
