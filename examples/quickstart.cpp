// SPDX-License-Identifier: MIT
//
// The ten-second tour: an ordinary function runs in worker processes, and futures bring its results.
#include <iostream>
#include <string>
#include <vector>

#include <muster/muster.hpp>

long count_primes(long begin, long end) {
    long count = 0;
    for (long number = begin; number < end; ++number) {
        bool prime = number > 1;
        for (long factor = 2; factor * factor <= number && prime; ++factor)
            prime = number % factor != 0;
        count += prime ? 1 : 0;
    }
    return count;
}

int main() {
    muster::entry_guard();  // Workers start here and never come back.

    muster::ProcessPoolExecutor pool;  // One worker per usable CPU.
    auto primes = pool.submit(count_primes, 0, 500'000);
    auto greeting = pool.submit([](std::string name) { return "hello, " + name; }, "worker");
    std::cout << greeting.result() << '\n' << primes.result() << " primes\n";

    const std::vector<long> begins = {0, 1000, 2000, 3000};
    const std::vector<long> ends = {1000, 2000, 3000, 4000};
    for (const long count : pool.map(count_primes, begins, ends))  // In order, lazily.
        std::cout << count << '\n';
}

// Output:
// hello, worker
// 41538 primes
// 168
// 135
// 127
// 120
