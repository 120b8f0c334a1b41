// SPDX-License-Identifier: MIT
#pragma once

#include <muster/future.hpp>

#define MUSTER_TEST_EXPORT __attribute__((visibility("default")))

/// Returns `x + 1`, from a library that the program is linked to.
MUSTER_TEST_EXPORT int increment_in_library(int x);

/// Waits inside the library for a future of a pool that the program made.
MUSTER_TEST_EXPORT int wait_in_library(const muster::Future<int>& future);
