// SPDX-License-Identifier: MIT
#include <muster/muster.hpp>

#include <iostream>

int cube(int x) { return x * x * x; }

int main() {
    muster::entry_guard();
    muster::ProcessPoolExecutor pool{1};
    int result = pool.submit(cube, 3).result();
    std::cout << result << '\n';
    return result == 27 ? 0 : 1;
}
