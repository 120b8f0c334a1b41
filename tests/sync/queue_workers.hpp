// SPDX-License-Identifier: MIT
#pragma once

#include <muster/errors.hpp>

// What workers do with a queue of numbers. They tell 1 for success.

namespace muster::test {

template <typename B>
using Numbers = typename B::template Queue<int>;

template <typename B>
void get_one(Numbers<B> queue, Numbers<B> told) {
    told.put(queue.get() ? 1 : 0);
}
template <typename B>
void put_one(Numbers<B> queue, Numbers<B> told) {
    try {
        queue.put(7);
        told.put(1);
    } catch (const QueueShutDown&) {
        told.put(0);
    }
}
template <typename B>
void join(Numbers<B> queue, Numbers<B> told) {
    queue.join();
    told.put(1);
}

}  // namespace muster::test
