// SPDX-License-Identifier: MIT
#pragma once

// The one place that knows which operating system this is. Each folder has the same file names and
// class names; everything else says `os::`.
#include <muster/detail/posix/futex.hpp>

namespace muster::detail {

namespace os = posix;

}  // namespace muster::detail
