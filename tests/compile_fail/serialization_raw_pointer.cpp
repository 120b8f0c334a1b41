// refused: muster: a raw pointer means nothing in another process
// names: const char*
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

struct Job {
    int id;
    const char* name;
};

auto bytes(const Job& value) { return muster::serialize(value); }
