// refused: muster: an aggregate with a base class cannot be taken field by field
// names: Job
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

struct Base {
    int id;
};
struct Job : Base {
    int priority;
};

auto bytes(const Job& value) { return muster::serialize(value); }
