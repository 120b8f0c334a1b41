// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <system_error>

#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/worker_handle.hpp>
#include <muster/errors.hpp>

/// What is said of workers that ended.
namespace muster::detail {

/// "was ended by SIGSEGV", "left with exit code 3".
inline std::string describe_end(const os::ExitStatus& status) {
    if (status.signal) return "was ended by " + os::signal_name(*status.signal);
    if (status.exit_code) return "left with exit code " + std::to_string(*status.exit_code);
    return "ended, and how is not known: the application ignores SIGCHLD or reaps the library's "
           "children";
}

/// Why a worker was killed, most likely.
inline constexpr const char* killed_for_memory =
    "the system had most likely no memory left: it has killed a process for that meanwhile";

/// "while it ran", and what comes next is the task's name.
inline const char* describe(Stage stage) noexcept {
    switch (stage) {
        case Stage::decoding:
            return "while it decoded the arguments of";
        case Stage::encoding:
            return "while it encoded the result of";
        default:
            return "while it ran";
    }
}

inline std::exception_ptr crash_of(const WorkerHandle& worker, const os::ExitStatus& status,
                                   const RemoteTask& task) {
    const int pid = static_cast<int>(worker.process.pid());
    std::string message = "muster: worker process " + std::to_string(pid) + " " +
                          describe_end(status) + " " + describe(worker.stage()) + " " +
                          task.title();
    if (!worker.failure.empty()) message += ", because " + worker.failure;
    message += "; if it may run twice, .retries has it tried again";
    const std::optional<int> code =
        status.signal ? std::optional<int>(-*status.signal) : status.exit_code;
    return std::make_exception_ptr(WorkerCrashed(message, pid, code, status.signal));
}

inline std::exception_ptr timeout_of(const WorkerHandle& worker, const RemoteTask& task) {
    const double seconds =
        std::chrono::duration<double>(task.timeout.value_or(std::chrono::nanoseconds(0))).count();
    return std::make_exception_ptr(TaskTimeout(
        "muster: " + task.title() + " ran longer than its timeout of " + std::to_string(seconds) +
        " s; its worker process " + std::to_string(worker.process.pid()) +
        " was killed; give it a longer .timeout, or .retries"));
}

inline std::exception_ptr broken_because(const std::string& why) {
    return std::make_exception_ptr(BrokenProcessPool(
        "muster: the process pool is broken; mend what follows, and make another: " + why));
}

inline std::string other_build(const std::string& program) {
    return "muster: " + program +
           " is another build than this program, so functions lie elsewhere in it; build both from "
           "the same sources in one go";
}

inline std::string missing_guard(const std::string& program) {
    if (program == os::own_executable())
        return "muster: a worker process did not reach muster::entry_guard(): make "
               "`muster::entry_guard();` the first statement of main";
    return "muster: " + program +
           ", which the option .executable names, did not reach muster::entry_guard(): make "
           "`muster::entry_guard();` the first statement of its main, and build it together with "
           "this program";
}

/// Throws what a process says instead of `Packet::Kind::ready`.
[[noreturn]] inline void throw_refused(const Packet& packet, const std::string& who, int pid,
                                       const std::string& program) {
    if (packet.kind == Packet::Kind::cannot_serve)
        throw std::system_error(
            std::make_error_code(std::errc::not_enough_memory),
            "muster: " + who + " (pid " + std::to_string(pid) + "): " + packet.words());
    if (packet.kind == Packet::Kind::other_build) throw EntryGuardError(other_build(program));
    throw EntryGuardError(missing_guard(program));
}

}  // namespace muster::detail
