// refused: muster: nobody knows which member of a union is alive
// names: Number
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

struct Number {
    bool whole;
    union {
        int i;
        float f;
    };
};

auto bytes(const Number& value) { return muster::serialize(value); }
