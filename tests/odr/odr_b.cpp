// SPDX-License-Identifier: MIT
#include <muster/muster.hpp>

int square_in_b(int x) {
    muster::ThreadPoolExecutor pool{1};
    return pool.submit([](int y) { return y * y; }, x).result();
}
