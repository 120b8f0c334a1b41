// refused: muster: a raw pointer means nothing in another process
// names: int*
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/pipe.hpp>

auto receive(const muster::multiprocessing::Connection& end) { return end.recv<int*>(); }
