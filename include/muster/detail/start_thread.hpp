// SPDX-License-Identifier: MIT
#pragma once

#include <system_error>
#include <thread>
#include <utility>

namespace muster::detail {

/// A thread that calls `fn(args...)`.
///
/// **Throws**: `std::system_error` that says what cannot be had, which the standard library's does
/// not: it is the system's words alone.
template <typename F, typename... Args>
std::thread start_thread(F&& fn, Args&&... args) {
    try {
        return std::thread(std::forward<F>(fn), std::forward<Args>(args)...);
    } catch (const std::system_error& error) {
        throw std::system_error(error.code(), "start a thread");
    }
}

}  // namespace muster::detail
