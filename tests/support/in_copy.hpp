// SPDX-License-Identifier: MIT
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>

namespace muster::test {

/// Runs `child` in a copy of this process, which then ends by exit(). Returns its exit code, or what
/// is below 0 if a signal ended it, as the alarm does if it hangs.
inline int in_copy(const std::function<int()>& child) {
    std::fflush(nullptr);
    const ::pid_t pid = ::fork();
    if (pid == 0) {
        ::alarm(200);
        int code = 99;
        try {
            code = child();
        } catch (...) {
        }
        std::exit(code);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace muster::test
