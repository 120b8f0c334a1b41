// SPDX-License-Identifier: MIT
#pragma once

#include <muster/process_pool_options.hpp>

#include "board.hpp"
#include "random.hpp"

namespace chaos {

/// Processes use one kind of what processes share, and are struck at any moment.
void primitive_round(Board& board, Random random, muster::StartMethod method);

}  // namespace chaos
