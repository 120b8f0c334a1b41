// SPDX-License-Identifier: MIT
// Two translation units include everything and meet in one program: nothing is defined twice.
#include <muster/muster.hpp>

#include <cstdio>

int square_in_b(int x);

int main() {
    muster::entry_guard();
    muster::ThreadPoolExecutor pool{1};
    int here = pool.submit([](int x) { return x * x; }, 7).result();
    if (here != square_in_b(7)) return 1;
    std::puts("ok");
}
