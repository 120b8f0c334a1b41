// SPDX-License-Identifier: MIT
#pragma once

#include <muster/multiprocessing/process.hpp>

#include <chrono>
#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

#include "support/process_pool.hpp"

namespace muster::test {

/// A `multiprocessing::Process` with the start method that is being tested.
class TestedProcess : public multiprocessing::Process {
  public:
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, TestedProcess> &&
                 !std::same_as<std::remove_cvref_t<F>, multiprocessing::ProcessOptions>)
    explicit TestedProcess(F&& fn, Args&&... args)
        : TestedProcess(multiprocessing::ProcessOptions{}, std::forward<F>(fn),
                        std::forward<Args>(args)...) {}
    template <typename F, typename... Args>
    TestedProcess(multiprocessing::ProcessOptions options, F&& fn, Args&&... args)
        : Process(with_tested(std::move(options)), std::forward<F>(fn),
                  std::forward<Args>(args)...) {}

    static multiprocessing::ProcessOptions with_tested(multiprocessing::ProcessOptions options) {
        options.start_method = tested_start_method();
        // Under a tool, on a busy machine, a start may take more than the usual ten seconds.
        options.start_timeout = std::chrono::minutes(5);
        return options;
    }
};

/// Runs the process to its end. Its exit code.
inline std::optional<int> exit_code_of(const multiprocessing::Process& process) {
    process.start();
    process.join();
    return process.exit_code();
}

}  // namespace muster::test
