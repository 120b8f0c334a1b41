// SPDX-License-Identifier: MIT
// ctest: alone
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/// The system calls of an older Linux: no pidfd, and no /proc for those who look for descriptors.
namespace older {
using ::close;
using ::closedir;
using ::fcntl;
using ::kill;
using ::open;
using ::poll;
using ::posix_spawn;
using ::posix_spawn_file_actions_addclose;
using ::posix_spawn_file_actions_adddup2;
using ::posix_spawn_file_actions_destroy;
using ::posix_spawn_file_actions_init;
using ::posix_spawnattr_destroy;
using ::posix_spawnattr_init;
using ::posix_spawnattr_setflags;
using ::posix_spawnattr_setpgroup;
using ::posix_spawnattr_setsigmask;
using ::ppoll;
using ::read;
using ::readdir;
using ::recv;
using ::send;
using ::socketpair;
using ::sysconf;
using ::waitid;

inline bool has_proc = true;

inline ::DIR* opendir(const char* path) { return has_proc ? ::opendir(path) : nullptr; }

template <typename... Arguments>
long syscall(long number, Arguments... arguments) {
    if (number == SYS_futex) return ::syscall(number, arguments...);
    errno = ENOSYS;
    return -1;
}
}  // namespace older

#define MUSTER_SYSCALL(name) ::older::name
#define MUSTER_SPAWN_CLOSES_FROM 0
#include <algorithm>
#include <posix/process_cases.hpp>

TEST_CASE("without pidfd there is no death descriptor") {
    auto child = ChildProcess::start(shell("exit"));
    CHECK(child.death_fd() == -1);
    CHECK(child.wait_exit() == exited(0));
}

TEST_CASE("inheritable descriptors are found with and without /proc") {
    const Fd inheritable{::fcntl(STDERR_FILENO, F_DUPFD, 70)};
    const Fd closes{::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 80)};
    older::has_proc = true;
    const auto found = inheritable_descriptors(60);
    older::has_proc = false;
    const auto found_without = inheritable_descriptors(60);
    older::has_proc = true;
    CHECK(std::count(found.begin(), found.end(), inheritable.get()) == 1);
    CHECK(std::count(found.begin(), found.end(), closes.get()) == 0);
    CHECK(found_without == found);
}
