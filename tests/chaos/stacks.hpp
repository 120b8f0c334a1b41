// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "descendants.hpp"

namespace chaos {

/// What the kernel tells of each thread of a process.
inline void print_kernel_view(::pid_t pid) {
    std::error_code gone;
    for (const auto& thread :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
        std::printf("thread %s\n", thread.path().filename().c_str());
        for (const char* const view : {"comm", "wchan", "syscall", "stack"}) {
            std::ifstream file(thread.path() / view);
            for (std::string line; std::getline(file, line);)
                std::printf("  %-8s %s\n", view, line.c_str());
        }
    }
}

/// The stacks of all threads of all that a process has started.
///
/// Prints without a debugger: `no gdb: no stacks`, and what the kernel tells.
inline void print_stacks(::pid_t pid) {
    const bool has_debugger = std::system("command -v gdb >/dev/null") == 0;
    if (!has_debugger) std::printf("no gdb: no stacks\n");
    for (const Descendant& process : descendants_of(pid)) {
        std::printf("--- process %d, state %c\n", process.pid, state_of(process.pid));
        print_kernel_view(process.pid);
        std::fflush(stdout);
        const std::string debugger = "gdb -q -batch -ex 'thread apply all bt 30' -p " +
                                     std::to_string(process.pid) + " 2>/dev/null";
        if (has_debugger) (void)!std::system(debugger.c_str());
    }
}

}  // namespace chaos
