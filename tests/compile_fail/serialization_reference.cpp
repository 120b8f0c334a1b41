// refused: muster: an aggregate with a field that cannot be made from bytes
// names: Job
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

struct Job {
    int id;
    int& counter;
};

auto bytes(const Job& value) { return muster::serialize(value); }
