// refused: muster: nothing says how this type becomes bytes
// names: lambda
// SPDX-License-Identifier: MIT
#include <muster/serialization.hpp>

auto bytes(int x) {
    return muster::serialize([x] { return x; });
}
