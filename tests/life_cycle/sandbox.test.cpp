// SPDX-License-Identifier: MIT
// ctest: start_methods skip=thread skip=address
// Sanitizers: they need files and system calls that are missing here.
// Pools, processes and locks in containers and sandboxes: without what a usual system has.
#include <muster/multiprocessing/lock.hpp>
#include <muster/multiprocessing/process.hpp>
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <string>

#include "life_cycle/outcome.hpp"
#include "support/family.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace life_cycle_sandbox_test {

namespace {

namespace mp = muster::multiprocessing;

using muster::ThreadPoolExecutor;
using muster::test::argument_of_program;
using muster::test::outcome;
using muster::test::ProcessPool;
using muster::test::Program;
using muster::test::say;

/// From now on the system call does not exist, for this process and its children.
bool take_away(long call) {
    const auto number = static_cast<std::uint32_t>(call);
    const auto answer = static_cast<std::uint32_t>(SECCOMP_RET_ERRNO | ENOSYS);
    ::sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(::seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const ::sock_fprog filter{sizeof code / sizeof *code, code};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// What older systems, and those that filter system calls, do not have.
const std::map<std::string, long> calls{{"clone3", SYS_clone3},
                                        {"close_range", SYS_close_range},
                                        {"eventfd2", SYS_eventfd2},
                                        {"fallocate", SYS_fallocate},
                                        {"get_robust_list", SYS_get_robust_list},
                                        {"getrandom", SYS_getrandom},
                                        {"madvise", SYS_madvise},
                                        {"membarrier", SYS_membarrier},
                                        {"memfd_create", SYS_memfd_create},
                                        {"pidfd_open", SYS_pidfd_open},
                                        {"pidfd_send_signal", SYS_pidfd_send_signal},
                                        {"prctl", SYS_prctl},
                                        {"prlimit64", SYS_prlimit64},
                                        {"sched_getaffinity", SYS_sched_getaffinity},
                                        {"set_robust_list", SYS_set_robust_list},
                                        {"statx", SYS_statx}};

/// What is mounted from now on is seen by this process and its children alone.
bool own_view() {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

bool empty(const char* folder) { return ::mount("tmpfs", folder, "tmpfs", 0, "size=16k") == 0; }

/// Nothing is left in /dev but the null device.
bool hide_devices() {
    const std::string null = "/proc/self/fd/" + std::to_string(::open("/dev/null", O_RDWR));
    return empty("/dev") && ::mknod("/dev/null", S_IFREG, 0) == 0 &&
           ::mount(null.c_str(), "/dev/null", nullptr, MS_BIND, nullptr) == 0;
}

/// Goes on as the first process of a container; the one that was here waits for it.
bool become_first(bool own_proc) {
    if (::unshare(CLONE_NEWPID) != 0) return false;
    if (const ::pid_t first = ::fork(); first != 0) {
        int status = 0;
        ::waitpid(first, &status, 0);
        ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    }
    return ::getpid() == 1 &&
           (!own_proc || (own_view() && ::mount("proc", "/proc", "proc", 0, nullptr) == 0));
}

/// As servers do that were started by root. What such a process has in /proc remains root's.
bool become_another_user() {
    return ::access("/proc/self/exe", X_OK) == 0 && ::setresgid(65534, 65534, 65534) == 0 &&
           ::setresuid(65534, 65534, 65534) == 0;
}

bool enter(const std::string& kind) {
    if (calls.contains(kind)) return take_away(calls.at(kind));
    if (kind == "PID 1") return become_first(false);
    if (kind == "PID 1, own /proc") return become_first(true);
    if (kind == "another user") return become_another_user();
    return own_view() && (kind == "/dev/shm" ? hide_devices() : empty(kind.c_str()));
}

/// What becomes of a lock of this name that a process gets: "works", or what the error says.
std::string lock_in_process(const std::string& name) {
    try {
        const mp::Lock lock = name.empty() ? mp::Lock() : mp::Lock(name);
        const auto take = [](const mp::Lock& its_lock) { const std::scoped_lock held(its_lock); };
        take(lock);
        mp::Process process(take, lock);
        process.start();
        process.join();
        return process.exit_code() == 0 ? "works" : "fails in the process";
    } catch (const std::exception& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("program: in a sandbox" * doctest::skip()) {
    if (!enter(argument_of_program())) return say("not permitted");
    say("threads: " + outcome<ThreadPoolExecutor>());
    say("processes: " + outcome<ProcessPool>());
    say("lock: " + lock_in_process(""));
    say("named lock: " + lock_in_process("sandbox"));
    if (::waitpid(-1, nullptr, WNOHANG) != -1) say("a process is left");
}

TEST_CASE("pools, processes and locks work in sandboxes, or name the system call that they need") {
    struct Outcomes {
        std::string pool = "works";
        std::string lock = "works";
        std::string named_lock = lock;
    };
    std::map<std::string, Outcomes> kinds;
    for (const auto& call : calls) kinds[call.first];
    for (const char* kind : {"/proc", "/tmp", "PID 1", "PID 1, own /proc", "another user"})
        kinds[kind];
    for (const std::string call : {"memfd_create", "eventfd"}) {
        const std::string missing = call + ": Function not implemented";
        kinds[call == "eventfd" ? "eventfd2" : call] = {missing, missing};
    }
    // Of a thread that ends, the system frees the locks: without that it is better to have none.
    kinds["get_robust_list"] = {.lock = "get_robust_list: Function not implemented"};
    kinds["set_robust_list"] = {.lock = "fails in the process"};
    kinds["/dev/shm"] = {.named_lock = "muster: there is no folder to make " +
                                       muster::test::shm_file("lock", "sandbox") +
                                       " in: No such file or directory"};
    for (const auto& each : kinds) {
        CAPTURE(each.first);
        Program program = Program::test_case("in a sandbox", each.first);
        const std::string threads = program.line();
        if (threads == "not permitted") {
            MESSAGE("this user cannot try it: " << each.first);
            continue;
        }
        CHECK(threads == "threads: works");
        CHECK(program.line() == "processes: " + each.second.pool);
        CHECK(program.line() == "lock: " + each.second.lock);
        CHECK(program.line() == "named lock: " + each.second.named_lock);
        CHECK(program.rest() == "");
        CHECK(program.exit_code() == 0);
    }
}

}  // namespace life_cycle_sandbox_test
