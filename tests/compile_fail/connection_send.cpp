// refused: muster: a view does not own what it shows
// names: string_view
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/pipe.hpp>

#include <string_view>

void send(const muster::multiprocessing::Connection& end, std::string_view line) { end.send(line); }
