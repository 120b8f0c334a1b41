// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <muster/detail/posix/syscall.hpp>
#include <string_view>

namespace muster::detail::posix {

/// A field of the text of a /proc/<pid>/stat, counted from 1, after the second; 0 if it isn't there.
constexpr std::uint64_t number_in(std::string_view stat, int wanted) noexcept {
    // The second field, the program's name, is in parentheses and may hold anything.
    std::size_t at = stat.rfind(')');
    for (int field = 2; field < wanted; ++field) {
        if (at == stat.npos) return 0;
        at = stat.find(' ', at + 1);
    }
    if (at == stat.npos) return 0;
    std::uint64_t number = 0;
    for (++at; at < stat.size() && stat[at] >= '0' && stat[at] <= '9'; ++at)
        number = number * 10 + static_cast<std::uint64_t>(stat[at] - '0');
    return number;
}

/// The start time in the text of a /proc/<pid>/stat, in ticks since the machine started; 0 if it
/// isn't there.
constexpr std::uint64_t start_time_in(std::string_view stat) noexcept {
    return number_in(stat, 22);
}

/// A number for this process: its id, and when it started, for ids are used again. Where the system
/// does not tell that, or has no descriptor for it at this moment, the id alone.
///
/// Uses only what a child may call after a fork.
inline std::uint64_t process_number() noexcept {
    char text[1024];
    std::size_t size = 0;
    const int fd = MUSTER_SYSCALL(open)("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd != -1) {
        const auto result =
            retry_interrupted([&] { return MUSTER_SYSCALL(read)(fd, text, sizeof text); });
        if (result > 0) size = static_cast<std::size_t>(result);
        MUSTER_SYSCALL(close)(fd);
    }
    const auto id = static_cast<std::uint64_t>(MUSTER_SYSCALL(getpid)());
    return id << 40 ^ start_time_in({text, size});
}

/// The id of the process of this number.
constexpr ::pid_t id_in(std::uint64_t number) noexcept {
    return static_cast<::pid_t>(number >> 40);
}

struct ProcessLife {
    bool process = false;
    bool main_thread = false;  ///< Which may end before the others. By it they can be reached.
};

/// What is alive of the process of this number: nothing if it has ended and was not reaped.
inline ProcessLife life_of_process(std::uint64_t number) noexcept {
    const ::pid_t id = id_in(number);
    char path[32];
    char text[1024];
    (void)std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(id));
    const int fd = MUSTER_SYSCALL(open)(path, O_RDONLY | O_CLOEXEC);
    // Without /proc, or a descriptor or memory for it, what can be told is whether there is a process
    // of that id. To be taken for dead costs a process what it has, so nothing else will do.
    const auto exists = [id]() -> ProcessLife {
        const bool any = MUSTER_SYSCALL(kill)(id, 0) == 0 || errno != ESRCH;
        return {any, any};
    };
    if (fd == -1) return exists();
    const auto size =
        retry_interrupted([&] { return MUSTER_SYSCALL(read)(fd, text, sizeof text); });
    const bool ended = size == 0 || (size == -1 && errno == ESRCH);  // Since it was opened.
    MUSTER_SYSCALL(close)(fd);
    if (ended) return {};
    if (size == -1) return exists();
    const std::string_view stat(text, static_cast<std::size_t>(size));
    const std::size_t name_end = stat.rfind(')');
    const char state = name_end + 2 < stat.size() ? stat[name_end + 2] : 'X';
    const std::uint64_t start = number ^ static_cast<std::uint64_t>(id) << 40;
    if (state == 'X' || (start != 0 && start != start_time_in(stat))) return {};
    // A main thread that has ended waits so for the others, which may still use what is theirs.
    return {state != 'Z' || number_in(stat, 20) > 1, state != 'Z'};
}
inline bool process_lives(std::uint64_t number) noexcept { return life_of_process(number).process; }

/// Notices forks of this process.
///
/// Each shared library may have its own copy of this: the number is the same in all, as it comes
/// from the system.
class ForkWatch {
  public:
    static std::uint64_t generation() {
        // A fork happens between two calls of one thread, or orders another's: relaxed will do.
        const std::uint64_t known = number_.load(std::memory_order_relaxed);
        return known != 0 ? known : start();
    }

  private:
    // Two threads that come first may both register: to renew twice does no harm. A function-local
    // static would be safe from that, but stay locked for ever in a copy forked meanwhile.
    static std::uint64_t start() {
        check_error(MUSTER_SYSCALL(pthread_atfork)(nullptr, nullptr, &ForkWatch::renew),
                    "pthread_atfork");
        renew();
        return number_.load(std::memory_order_relaxed);
    }

    static void renew() noexcept { number_.store(process_number(), std::memory_order_relaxed); }

    static constinit inline std::atomic<std::uint64_t> number_{0};
};

/// A number that differs in a process, and in every copy that a fork makes of it, for ever.
///
/// What was made in the parent and is used in the copy is known by it. Only the first call makes
/// system calls. A copy made by `_Fork`, or the bare `clone` or `vfork` calls, isn't
/// noticed.
///
/// Throws: `std::system_error`, until a call has succeeded.
inline std::uint64_t fork_generation() { return ForkWatch::generation(); }

}  // namespace muster::detail::posix
