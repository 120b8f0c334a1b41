// SPDX-License-Identifier: MIT
#include "worker_library.hpp"

int increment_in_library(int x) { return x + 1; }

int wait_in_library(const muster::Future<int>& future) { return future.result(); }
