// refused: muster: an initializer cannot take a muster::StopToken
// SPDX-License-Identifier: MIT
#include <muster/thread_pool_executor.hpp>

muster::ThreadPoolExecutor pool({.initializer = {[](muster::StopToken, int) {}, 1}});
