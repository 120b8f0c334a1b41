// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <muster/detail/deadline.hpp>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/pidfd.hpp>
#include <muster/detail/posix/watch.hpp>

namespace muster::detail::posix {

/// Waits for the end of the process of this number, whoever is its parent.
///
/// **Blocks** until then, at most until the deadline. False when that passed.
inline bool await_end(std::uint64_t number, const Deadline& deadline) {
    constexpr std::chrono::milliseconds soon{5};
    // First: if the process lives after that, it is the one that was opened.
    const Fd end = pidfd_open(id_in(number));
    while (process_lives(number)) {
        Watch watch;
        const std::size_t ended = watch.add(end.get());
        watch.wait(end.get() == -1 ? earlier(deadline, deadline_after(soon)) : deadline);
        if (watch.ready(ended)) return true;
        if (expired(deadline)) return !process_lives(number);
    }
    return true;
}

}  // namespace muster::detail::posix
