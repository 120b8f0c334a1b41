// refused: muster: the elements of a SharedArray are bytes that processes share
// names: string
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/shared_array.hpp>

#include <string>

muster::multiprocessing::SharedArray<std::string> lines(3);
