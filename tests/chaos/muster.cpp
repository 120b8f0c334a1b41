// SPDX-License-Identifier: MIT
#include "faulty_calls.hpp"

#include <muster/src.hpp>
