// SPDX-License-Identifier: MIT
#pragma once

#include <barrier>
#include <cstddef>
#include <thread>
#include <vector>

namespace muster::test {

/// Calls each of `racers` with 0, 1, ... `rounds - 1`, each in a thread of its own and all at the
/// same time: a round begins when all have ended the one before.
template <typename... Racers>
void race(std::size_t rounds, Racers... racers) {
    std::barrier start(static_cast<std::ptrdiff_t>(sizeof...(Racers)));
    const auto run = [&](auto racer) {
        for (std::size_t round = 0; round < rounds; ++round) {
            start.arrive_and_wait();
            racer(round);
        }
    };
    std::vector<std::jthread> threads;
    threads.reserve(sizeof...(Racers));
    (threads.emplace_back(run, racers), ...);
}

}  // namespace muster::test
