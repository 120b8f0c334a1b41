// SPDX-License-Identifier: MIT
//
// Counts primes with one thread and with a pool of processes. How long each took goes to stderr.
#include <chrono>
#include <iostream>
#include <vector>

#include <muster/muster.hpp>

long count_primes(long begin, long end) {
    long count = 0;
    for (long n = begin < 2 ? 2 : begin; n < end; ++n) {
        bool prime = true;
        for (long d = 2; d * d <= n && prime; ++d) prime = n % d != 0;
        count += prime ? 1 : 0;
    }
    return count;
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

    constexpr long end = 500'000, step = 25'000;
    std::vector<long> begins, ends;
    for (long n = 0; n < end; n += step) {
        begins.push_back(n);
        ends.push_back(n + step);
    }
    std::cout << timed("one thread", [] { return count_primes(0, end); }) << '\n';
    std::cout << timed("processes", [&] {
        muster::ProcessPoolExecutor pool;
        long sum = 0;
        for (const long count : pool.map(count_primes, begins, ends)) sum += count;
        return sum;
    }) << '\n';
}

// Output:
// 41538
// 41538
