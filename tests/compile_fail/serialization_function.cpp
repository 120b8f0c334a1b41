// refused: muster: a function cannot become bytes
// names: int (*)(int)
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

struct Job {
    int (*run)(int);
};

auto bytes(const Job& value) { return muster::serialize(value); }
