// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>

#include <cerrno>
#include <system_error>

/// The seam through which every system call of this folder goes.
///
/// A test defines it before the first include, and can make any call fail.
#ifndef MUSTER_SYSCALL
#define MUSTER_SYSCALL(name) ::name
#endif

namespace muster::detail::posix {

/// Throws `std::system_error` with this error number and the name of the call that gave it.
[[noreturn]] inline void throw_error(int error, const char* call) {
    throw std::system_error(error, std::system_category(), call);
}

/// Throws `std::system_error` with `errno` and the name of the call that set it.
[[noreturn]] inline void throw_errno(const char* call) { throw_error(errno, call); }

/// Passes the result of a system call on.
///
/// Throws: `std::system_error` if it is -1.
template <typename Result>
Result check(Result result, const char* call) {
    if (result == static_cast<Result>(-1)) throw_errno(call);
    return result;
}

/// Does nothing for 0; for functions that return the error number, as `posix_spawn` does.
///
/// Throws: `std::system_error` otherwise.
inline void check_error(int error, const char* call) {
    if (error != 0) throw_error(error, call);
}

/// Repeats a call as long as a signal interrupts it, and returns its result. Never for `close`.
template <typename Call>
auto retry_interrupted(Call call) {
    for (;;) {
        const auto result = call();
        if (result != -1 || errno != EINTR) return result;
    }
}

/// As `retry_interrupted`, for what sends a message: also as long as the system has no memory for it.
template <typename Call>
auto retry_send(Call call) {
    for (;;) {
        const auto result = retry_interrupted(call);
        if (result != -1 || (errno != ENOBUFS && errno != ENOMEM)) return result;
        (void)MUSTER_SYSCALL(poll)(nullptr, 0, 1);  // It does not say when it has some.
    }
}

}  // namespace muster::detail::posix
