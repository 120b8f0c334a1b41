// SPDX-License-Identifier: MIT
#pragma once

#include <muster/exception.hpp>

#include <stdexcept>

/// Declared, and thrown, in both files.
struct TooLarge : std::runtime_error {
    using std::runtime_error::runtime_error;
};
MUSTER_EXCEPTION(TooLarge)
