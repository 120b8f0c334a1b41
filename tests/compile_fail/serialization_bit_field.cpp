// refused: muster: an aggregate with bit-fields cannot be taken field by field
// names: Flags
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

struct Flags {
    unsigned ready : 1;
    unsigned count : 31;
};

auto bytes(const Flags& value) { return muster::serialize(value); }
