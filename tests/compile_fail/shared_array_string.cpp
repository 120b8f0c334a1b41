// refused: muster: the elements of a SharedArray are bytes that processes share
// names: string
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/shared_array.hpp>

#include <string>

auto lines() { return muster::multiprocessing::SharedArray<std::string>(3)[0]; }
