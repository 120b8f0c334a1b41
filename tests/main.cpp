// SPDX-License-Identifier: MIT
// The main of every test program. Workers are this same program, so they enter before doctest does.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <muster/entry_guard.hpp>

int main(int argc, char** argv) {
    muster::entry_guard();
    return doctest::Context(argc, argv).run();
}
