// refused: muster: fn cannot be called with these arguments (decayed, passed as rvalues)
// SPDX-License-Identifier: MIT
#include <muster/thread_pool_executor.hpp>

void run(muster::ThreadPoolExecutor& pool) {
    (void)pool.submit([](int x) { return x; }, "a word");
}
