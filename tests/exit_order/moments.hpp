// SPDX-License-Identifier: MIT
#pragma once

#include <semaphore>

// They need no destruction, so they are there to the very end.
extern std::binary_semaphore exiting;  ///< `exit` has begun.
extern std::binary_semaphore asked;    ///< The daemon was asked to stop.
