// refused: muster: for_each's fn cannot be called with a const element of the range
// SPDX-License-Identifier: MIT
#include <muster/thread_pool_executor.hpp>

#include <vector>

void run(muster::ThreadPoolExecutor& pool, std::vector<int>& numbers) {
    pool.for_each([](int& number) { ++number; }, numbers);
}
