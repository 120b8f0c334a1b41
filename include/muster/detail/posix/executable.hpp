// SPDX-License-Identifier: MIT
#pragma once

#include <link.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <muster/detail/posix/memory_map.hpp>
#include <muster/detail/posix/read_file.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// How to start this very program once more, and what it is called.

namespace muster::detail::posix {

/// The path that starts this program afresh.
///
/// It is the file that runs, not the one that bears its name now: also when that was replaced,
/// renamed or deleted, and from whatever folder it was started. Where /proc is missing, the path by
/// which it was started.
inline std::string own_executable() {
    const std::string running = "/proc/self/exe";
    struct ::stat file {};
    if (MUSTER_SYSCALL(stat)(running.c_str(), &file) == 0) return running;
    const auto* const started = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
    return started == nullptr ? running : started;
}

/// The strings of a block in which each ends with a zero, as in /proc/self/cmdline.
inline std::vector<std::string> split_at_zeros(std::string_view block) {
    std::vector<std::string> strings;
    while (!block.empty()) {
        const std::string_view string = block.substr(0, block.find('\0'));
        strings.emplace_back(string);
        block.remove_prefix(std::min(string.size() + 1, block.size()));
    }
    return strings;
}

/// Which argument of a dynamic loader (`ld.so [options] program [arguments]`) is the program; the
/// number of arguments if none is.
inline std::size_t program_argument(const std::vector<std::string>& arguments) {
    // Those of glibc and musl that take the next argument as their value.
    constexpr std::array<std::string_view, 7> with_value{
        "--library-path",      "--inhibit-rpath",       "--audit", "--preload", "--argv0",
        "--glibc-hwcaps-mask", "--glibc-hwcaps-prepend"};
    std::size_t at = 1;
    while (at < arguments.size() && arguments[at].starts_with("--")) {
        if (arguments[at] == "--") return at + 1;
        const bool has_value =
            std::find(with_value.begin(), with_value.end(), arguments[at]) != with_value.end();
        at += has_value ? 2 : 1;
    }
    return std::min(at, arguments.size());
}

/// The file of the main program, if that is not the file that the system started: then this is the
/// dynamic loader, which was told to run the program. Empty otherwise.
inline std::string program_run_by_loader() {
    std::uintptr_t inside = 0;  // An address in the main program, which comes first.
    ::dl_iterate_phdr(
        [](::dl_phdr_info* info, std::size_t, void* result) {
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
                *static_cast<std::uintptr_t*>(result) =
                    info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
                break;
            }
            return 1;
        },
        &inside);
    std::string program = MemoryMap::read().file_at(inside);
    struct ::stat mapped {};
    struct ::stat started {};
    if (program.empty() || MUSTER_SYSCALL(stat)(program.c_str(), &mapped) != 0 ||
        MUSTER_SYSCALL(stat)("/proc/self/exe", &started) != 0)
        return {};
    const bool same = mapped.st_dev == started.st_dev && mapped.st_ino == started.st_ino;
    return same ? std::string{} : program;
}

/// The arguments with which own_executable() starts this program as it was started.
///
/// These are argv; empty if the system doesn't tell them. A program that was started through the
/// dynamic loader is named by its absolute path, good in any folder.
inline std::vector<std::string> own_command_line() {
    std::vector<std::string> arguments =
        split_at_zeros(read_file("/proc/self/cmdline").value_or(""));
    const std::size_t program = program_argument(arguments);
    if (program < arguments.size() && !arguments[program].starts_with('/')) {
        if (std::string path = program_run_by_loader(); !path.empty())
            arguments[program] = std::move(path);
    }
    return arguments;
}

/// The name that `ps` and `top` show for this process: at most 15 bytes; empty if unknown.
inline std::string process_name() {
    std::string name = read_file("/proc/self/comm").value_or("");
    if (name.ends_with('\n')) name.pop_back();
    return name;
}

/// Names the calling thread, for debuggers and `top -H`. Only 15 bytes are kept.
inline void set_thread_name(const std::string& name) noexcept {
    (void)MUSTER_SYSCALL(prctl)(PR_SET_NAME, name.c_str(), 0, 0, 0);
}

/// Names this process, as `ps` and `top` show it. Only 15 bytes are kept.
///
/// Requires: the calling thread is the main thread: its name is the process's.
inline void set_process_name(const std::string& name) noexcept { set_thread_name(name); }

}  // namespace muster::detail::posix
