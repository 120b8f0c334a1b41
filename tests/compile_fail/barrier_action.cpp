// refused: muster: this callable cannot go to another process
// names: lambda
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/barrier.hpp>

auto counting(int& rounds) {
    return muster::multiprocessing::Barrier(2, [&rounds] { ++rounds; });
}
