// refused: muster: a raw pointer means nothing in another process
// names: int*
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/queue.hpp>

void put(const muster::multiprocessing::Queue<int*>& queue, int* number) { queue.put(number); }
