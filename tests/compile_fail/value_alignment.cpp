// refused: muster: a Value may be aligned to at most 64 bytes
// names: Page
// SPDX-License-Identifier: MIT
#include <muster/multiprocessing/value.hpp>

struct alignas(128) Page {
    char bytes[128];
};

muster::multiprocessing::Value<Page> page{Page{}};
