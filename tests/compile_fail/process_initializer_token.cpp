// refused: muster: an initializer cannot take a muster::StopToken
// SPDX-License-Identifier: MIT
#include <muster/process_pool_executor.hpp>

muster::ProcessPoolExecutor pool({.initializer = {[](muster::StopToken, int) {}, 1}});
