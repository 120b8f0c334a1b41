// SPDX-License-Identifier: MIT
#include <muster/muster.hpp>

#include "exception.hpp"

namespace {

// Has the name of another in the other file, and may not be taken for it.
int square(int x) {
    if (x > 100) throw TooLarge("b");
    return x * x;
}

}  // namespace

int square_in_b(int x) {
    muster::ThreadPoolExecutor pool{1};
    return pool.submit([](int y) { return y * y; }, x).result();
}

int square_in_a_process_of_b(int x) {
    muster::ProcessPoolExecutor pool{1};
    return pool.submit(square, x).result();
}
