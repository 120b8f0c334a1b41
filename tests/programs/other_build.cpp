// SPDX-License-Identifier: MIT
// A program with the guard that has none of the tests' functions.
#include <muster/entry_guard.hpp>

int main() {
    muster::entry_guard();
    return 0;
}
