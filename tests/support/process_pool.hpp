// SPDX-License-Identifier: MIT
#pragma once

#include <muster/process_pool_executor.hpp>

#include <chrono>
#include <concepts>
#include <cstdlib>
#include <string>
#include <utility>

namespace muster::test {

/// How the workers of `ProcessPool` are started: what ctest says in the environment, so that one
/// program tests all ways.
inline StartMethod tested_start_method() {
    const char* const variable = std::getenv("TEST_START_METHOD");
    const std::string name = variable ? variable : "spawn";
    if (name == "fork") return StartMethod::fork;
    return name == "forkserver" ? StartMethod::forkserver : StartMethod::spawn;
}

/// A `ProcessPoolExecutor` with the start method that is being tested.
class ProcessPool : public ProcessPoolExecutor {
  public:
    explicit ProcessPool(ProcessPoolOptions options = {})
        : ProcessPoolExecutor(with_tested(std::move(options))) {}
    template <std::integral Count>
    explicit ProcessPool(Count max_workers)
        : ProcessPool(ProcessPoolOptions{.max_workers = static_cast<std::size_t>(max_workers)}) {}

  private:
    static ProcessPoolOptions with_tested(ProcessPoolOptions options) {
        options.start_method = tested_start_method();
        // Under a tool, on a busy machine, a start may take more than the usual ten seconds.
        if (options.start_timeout == ProcessPoolOptions{}.start_timeout)
            options.start_timeout = std::chrono::minutes(5);
        return options;
    }
};

}  // namespace muster::test
