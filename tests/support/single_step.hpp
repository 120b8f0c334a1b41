// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "support/family.hpp"

namespace muster::test {

/// In a copy: stops until the process that made it has it go on, by single steps if it likes.
inline void wait_to_be_traced() {
    (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    (void)::raise(SIGSTOP);
}

/// Waits until the copy has stopped. False if it has ended instead.
inline bool stops(const Copy& copy) {
    int status = 0;
    return ::waitpid(copy.pid(), &status, WUNTRACED) == copy.pid() && WIFSTOPPED(status);
}

/// Lets a process that waits to be traced go on for one instruction. False if it has ended instead.
inline bool step(const Copy& traced) {
    int status = 0;
    return ::ptrace(PTRACE_SINGLESTEP, traced.pid(), nullptr, nullptr) == 0 &&
           ::waitpid(traced.pid(), &status, 0) == traced.pid() && WIFSTOPPED(status);
}

/// Lets it go on as it likes.
inline bool release(const Copy& traced) {
    return ::ptrace(PTRACE_DETACH, traced.pid(), nullptr, nullptr) == 0;
}

}  // namespace muster::test
