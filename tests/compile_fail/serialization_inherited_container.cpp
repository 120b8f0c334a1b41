// refused: muster: a class that inherits a container may hold more
// names: Names
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <vector>

class Names : public std::vector<int> {
  public:
    Names();
    int extra;
};

auto bytes(const Names& value) { return muster::serialize(value); }
