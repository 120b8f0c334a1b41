// refused: muster: an array cannot be returned
// names: char[8]
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

auto bytes() { return muster::serialize("literal"); }
