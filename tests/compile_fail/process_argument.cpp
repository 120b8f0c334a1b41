// refused: muster: a raw pointer means nothing in another process
// names: double*
// SPDX-License-Identifier: MIT
#include <muster/process_pool_executor.hpp>

void run(muster::ProcessPoolExecutor& pool, double* numbers) {
    (void)pool.submit([](double* first) { return *first; }, numbers);
}
