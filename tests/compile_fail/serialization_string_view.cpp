// refused: muster: a view does not own what it shows
// names: std::basic_string_view<char
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

#include <string_view>
#include <vector>

auto bytes(const std::vector<std::string_view>& value) { return muster::serialize(value); }
