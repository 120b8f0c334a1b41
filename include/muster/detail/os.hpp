// SPDX-License-Identifier: MIT
#pragma once

// The one place that knows which operating system this is. Each folder has the same file names and
// class names; everything else says `os::`.
#include <muster/detail/posix/cpu_count.hpp>
#include <muster/detail/posix/executable.hpp>
#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/futex.hpp>
#include <muster/detail/posix/module.hpp>

namespace muster::detail {

namespace os = posix;

}  // namespace muster::detail
