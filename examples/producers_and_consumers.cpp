// SPDX-License-Identifier: MIT
//
// Two producers and three consumers over a queue for four items, first as threads and then as
// processes: one template serves both.
#include <iostream>
#include <vector>

#include <muster/muster.hpp>

template <typename Backend>
using Numbers = typename Backend::template Queue<long>;

template <typename Backend>
void produce(Numbers<Backend> out, long begin, long end) {
    for (long n = begin; n < end; ++n) out.put(n);
}

template <typename Backend>
void add_up(Numbers<Backend> in, Numbers<Backend> sums) {
    long sum = 0;
    while (const auto n = in.get()) sum += *n;
    sums.put(sum);
}

template <typename Backend>
long run() {
    Numbers<Backend> numbers(4), sums;
    std::vector<typename Backend::Worker> producers, consumers;
    for (long i = 0; i < 2; ++i)
        producers.emplace_back(produce<Backend>, numbers, 500 * i, 500 * (i + 1));
    for (int i = 0; i < 3; ++i) consumers.emplace_back(add_up<Backend>, numbers, sums);
    for (auto& worker : consumers) worker.start();
    for (auto& worker : producers) worker.start();
    for (auto& worker : producers) worker.join();
    numbers.shutdown();
    for (auto& worker : consumers) worker.join();
    return *sums.get() + *sums.get() + *sums.get();
}

int main() {
    muster::entry_guard();
    std::cout << "threads: " << run<muster::Threads>() << '\n';
    std::cout << "processes: " << run<muster::Processes>() << '\n';
}

// Output:
// threads: 499500
// processes: 499500
