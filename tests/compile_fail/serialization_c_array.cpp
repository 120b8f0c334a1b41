// refused: muster: an array cannot be returned
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

auto bytes() { return muster::serialize("literal"); }
