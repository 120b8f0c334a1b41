// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include <muster/detail/family/arena.hpp>

#include "support/family.hpp"

namespace muster::test {

/// The family's memory, which is there to the end of the process.
inline muster::detail::FamilyMemory& family() {
    static const auto memory = muster::detail::FamilyMemory::for_objects();
    return *memory;
}

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

/// Lets a process that waits to be traced go on for so many instructions. False if it has stopped by
/// itself, or ended, instead.
inline bool step(const Copy& traced, std::size_t times = 1) {
    for (; times != 0; --times) {
        int status = 0;
        if (::ptrace(PTRACE_SINGLESTEP, traced.pid(), nullptr, nullptr) != 0 ||
            ::waitpid(traced.pid(), &status, 0) != traced.pid() || !WIFSTOPPED(status) ||
            WSTOPSIG(status) != SIGTRAP)
            return false;
    }
    return true;
}

/// Lets it go on until it stops by itself. After which of its instructions what the family shares
/// was not as before.
inline std::vector<std::size_t> changing_steps(const Copy& traced) {
    const auto* const begin = reinterpret_cast<const std::byte*>(&family().header());
    std::vector<std::byte> known;
    std::vector<std::size_t> changing;
    for (std::size_t count = 0;; ++count) {
        const std::size_t size = family().header().end.load();
        if (known.size() != size || std::memcmp(known.data(), begin, size) != 0) {
            known.assign(begin, begin + size);
            changing.push_back(count);
        }
        if (!step(traced)) return changing;
    }
}

/// Kills a copy that stays a zombie, and is not swept. False if it had ended.
inline bool kill_unseen(const Copy& copy) {
    ::siginfo_t info{};
    return ::kill(copy.pid(), SIGKILL) == 0 &&
           ::waitid(P_PID, static_cast<::id_t>(copy.pid()), &info, WEXITED | WNOWAIT) == 0 &&
           info.si_code == CLD_KILLED;
}

/// Lets it go on as it likes.
inline bool release(const Copy& traced) {
    return ::ptrace(PTRACE_DETACH, traced.pid(), nullptr, nullptr) == 0;
}

}  // namespace muster::test
