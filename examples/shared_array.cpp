// SPDX-License-Identifier: MIT
//
// Processes fill an array that lies in memory which all of them have: nothing is copied.
#include <cstddef>
#include <iostream>
#include <numeric>

#include <muster/muster.hpp>

using muster::multiprocessing::SharedArray;

void fill_squares(SharedArray<long> squares, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) squares[i] = static_cast<long>(i * i);
}

int main() {
    muster::entry_guard();

    constexpr std::size_t size = 100'000, half = size / 2;
    SharedArray<long> squares(size);
    muster::ProcessPoolExecutor pool(2);
    const auto first = pool.submit(fill_squares, squares, std::size_t{0}, half);
    const auto second = pool.submit(fill_squares, squares, half, size);
    first.result();
    second.result();
    std::cout << std::accumulate(squares.begin(), squares.end(), 0L) << '\n';
}

// Output:
// 333328333350000
