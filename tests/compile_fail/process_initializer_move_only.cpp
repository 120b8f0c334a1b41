// refused: muster: an initializer and its arguments must be copyable
// SPDX-License-Identifier: MIT
#include <memory>

#include <muster/process_pool_executor.hpp>

muster::ProcessPoolExecutor pool({.initializer = {[](std::unique_ptr<int>) {},
                                                  std::make_unique<int>(1)}});
