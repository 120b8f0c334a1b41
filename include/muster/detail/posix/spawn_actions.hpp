// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <muster/detail/posix/syscall.hpp>
#include <vector>

/// 1 where `posix_spawn` can close all descriptors from a number on by itself.
#ifndef MUSTER_SPAWN_CLOSES_FROM
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define MUSTER_SPAWN_CLOSES_FROM 1
#endif
#endif
#endif
#ifndef MUSTER_SPAWN_CLOSES_FROM
#define MUSTER_SPAWN_CLOSES_FROM 0
#endif

namespace muster::detail::posix {

/// The open descriptors of this process numbered `first` or higher that an exec would hand on.
inline std::vector<int> inheritable_descriptors(int first) {
    std::vector<int> found;
    const auto add_if_inheritable = [&](int fd) {
        const int flags = MUSTER_SYSCALL(fcntl)(fd, F_GETFD);
        if (flags != -1 && (flags & FD_CLOEXEC) == 0) found.push_back(fd);
    };
    const auto close_directory = [](::DIR* directory) { MUSTER_SYSCALL(closedir)(directory); };
    const std::unique_ptr<::DIR, decltype(close_directory)> directory{
        MUSTER_SYSCALL(opendir)("/proc/self/fd"), close_directory};
    if (directory) {
        while (const ::dirent* entry = MUSTER_SYSCALL(readdir)(directory.get())) {
            const int fd = std::atoi(entry->d_name);  // "." and ".." are 0.
            if (fd >= first) add_if_inheritable(fd);
        }
        return found;
    }
    // Without /proc: as far as one can look in reasonable time.
    const long limit = std::min(MUSTER_SYSCALL(sysconf)(_SC_OPEN_MAX), 65536L);
    for (int fd = first; fd < limit; ++fd) add_if_inheritable(fd);
    return found;
}

/// What `posix_spawn` does to the descriptors of the child, in order.
///
/// Throws: every member throws `std::system_error` when the list can't grow.
class SpawnActions {
  public:
    SpawnActions() {
        check_error(MUSTER_SYSCALL(posix_spawn_file_actions_init)(&list_), "posix_spawn");
    }
    SpawnActions(const SpawnActions&) = delete;
    SpawnActions& operator=(const SpawnActions&) = delete;
    ~SpawnActions() { MUSTER_SYSCALL(posix_spawn_file_actions_destroy)(&list_); }

    /// The parent's `from` is the child's `to`.
    void hand_on(int from, int to) {
        check_error(MUSTER_SYSCALL(posix_spawn_file_actions_adddup2)(&list_, from, to),
                    "posix_spawn_file_actions_adddup2");
    }

    /// The child has no descriptor numbered `first` or higher.
    ///
    /// Platform: where the system has no such action, one that another thread opens without
    /// `O_CLOEXEC` at this very moment escapes.
    void close_from(int first) {
#if MUSTER_SPAWN_CLOSES_FROM
        check_error(MUSTER_SYSCALL(posix_spawn_file_actions_addclosefrom_np)(&list_, first),
                    "posix_spawn_file_actions_addclosefrom_np");
#else
        for (const int fd : inheritable_descriptors(first))
            check_error(MUSTER_SYSCALL(posix_spawn_file_actions_addclose)(&list_, fd),
                        "posix_spawn_file_actions_addclose");
#endif
    }

    [[nodiscard]] const ::posix_spawn_file_actions_t* get() const noexcept { return &list_; }

  private:
    ::posix_spawn_file_actions_t list_;
};

}  // namespace muster::detail::posix
