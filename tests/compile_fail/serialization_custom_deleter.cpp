// refused: muster: a pointer with its own deleter
// names: std::unique_ptr<int, Close>
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <memory>

struct Close {
    void operator()(int*) const;
};

auto bytes(const std::unique_ptr<int, Close>& value) { return muster::serialize(value); }
