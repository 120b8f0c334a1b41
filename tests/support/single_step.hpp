// SPDX-License-Identifier: MIT
#pragma once

#include <sys/ptrace.h>
#include <sys/wait.h>

#include "support/family.hpp"

namespace muster::test {

/// Lets a process that waits to be traced go on for one instruction. False if it has ended instead.
inline bool step(const Copy& traced) {
    int status = 0;
    return ::ptrace(PTRACE_SINGLESTEP, traced.pid(), nullptr, nullptr) == 0 &&
           ::waitpid(traced.pid(), &status, 0) == traced.pid() && WIFSTOPPED(status);
}

}  // namespace muster::test
