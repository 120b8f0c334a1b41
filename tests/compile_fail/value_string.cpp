// refused: muster: a Value is copied as bytes between processes
// names: string
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/value.hpp>

#include <string>

muster::multiprocessing::Value<std::string> text("text");
