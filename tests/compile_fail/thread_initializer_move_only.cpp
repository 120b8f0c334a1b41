// refused: muster: an initializer and its arguments must be copyable
// SPDX-License-Identifier: MIT
#include <memory>

#include <muster/thread_pool_executor.hpp>

muster::ThreadPoolExecutor pool({.initializer = {[](std::unique_ptr<int>) {},
                                                 std::make_unique<int>(1)}});
