// SPDX-License-Identifier: MIT
#pragma once

#include <cstdio>
#include <exception>
#include <functional>
#include <string>

namespace muster::detail {

/// What an exception says of itself.
inline std::string describe(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& thrown) {
        return thrown.what();
    } catch (...) {
        return "an exception that is not a std::exception";
    }
}

/// Hands an exception that no future can carry to the option `on_error`, or to stderr.
///
/// Prints: `muster: unhandled exception in task 'load': <what>`, with `part` before the task's name.
template <typename State>
void report_error(const std::function<void(std::exception_ptr)>& on_error,
                  const std::exception_ptr& error, const State& task,
                  const char* part = "") noexcept {
    try {
        if (on_error) {
            on_error(error);
            return;
        }
        const std::string line = "muster: unhandled exception in " + (part + task.title()) + ": " +
                                 describe(error) + '\n';
        std::fputs(line.c_str(), stderr);
    } catch (...) {
        std::fputs("muster: the on_error handler threw an exception itself\n", stderr);
    }
}

}  // namespace muster::detail
