// SPDX-License-Identifier: MIT
#include <muster/src.hpp>
