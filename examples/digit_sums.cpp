// SPDX-License-Identifier: MIT
//
// Adds up the digits of all numbers below ten million, with one thread and with a pool of processes.
// How long each took goes to stderr.
#include <chrono>
#include <iostream>
#include <vector>

#include <muster/muster.hpp>

long sum_of_digits(long begin, long end) {
    long sum = 0;
    for (long n = begin; n < end; ++n)
        for (long rest = n; rest != 0; rest /= 10) sum += rest % 10;
    return sum;
}

template <typename Action>
long timed(const char* what, Action action) {
    const auto begin = std::chrono::steady_clock::now();
    const long result = action();
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::clog << what << ": " << time.count() << " s\n";
    return result;
}

int main() {
    muster::entry_guard();

    constexpr long end = 10'000'000, step = 500'000;
    std::vector<long> begins, ends;
    for (long n = 0; n < end; n += step) {
        begins.push_back(n);
        ends.push_back(n + step);
    }
    std::cout << timed("one thread", [] { return sum_of_digits(0, end); }) << '\n';
    std::cout << timed("processes", [&] {
        muster::ProcessPoolExecutor pool;
        long sum = 0;
        for (const long part : pool.map(sum_of_digits, begins, ends)) sum += part;
        return sum;
    }) << '\n';
}

// Output:
// 315000000
// 315000000
