// refused: muster: a smart pointer to an array does not know its length
// names: std::unique_ptr<int[]
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <memory>

auto bytes(const std::unique_ptr<int[]>& value) { return muster::serialize(value); }
