// refused: muster: this callable cannot go to another process
// names: lambda
// SPDX-License-Identifier: MIT
#include <muster/process_pool_executor.hpp>

void run(muster::ProcessPoolExecutor& pool, int base) {
    (void)pool.submit([base](int x) { return base + x; }, 1);
}
