// refused: muster: a raw pointer means nothing in another process
// names: const int*
// SPDX-License-Identifier: MIT
#include <muster/process_pool_executor.hpp>

void run(muster::ProcessPoolExecutor& pool) {
    (void)pool.submit([](int) -> const int* { return nullptr; }, 1);
}
