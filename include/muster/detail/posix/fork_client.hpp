// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include <muster/detail/posix/fork_server.hpp>
#include <muster/detail/posix/kept_from_copies.hpp>
#include <muster/detail/posix/lifeline.hpp>
#include <muster/detail/posix/process.hpp>

namespace muster::detail::posix {

/// This side of a `ForkLoop`: has copies of another process made, and hears of their ends.
///
/// Thread safety: `send_signal`; the rest in one thread at a time.
class ForkClient final : public Reaper, public std::enable_shared_from_this<ForkClient> {
  public:
    /// `server` serves the other end of `control`.
    ForkClient(PrivateFd control, ChildProcess server)
        : control_{std::move(control)}, server_{std::move(server)} {}
    ~ForkClient() override {
        control_ = {};  // At which the server ends.
        if (!server_.wait_exit(std::chrono::steady_clock::now() + std::chrono::seconds(1))) {
            server_.kill_group();
            (void)server_.wait_exit();
        }
    }

    /// Copies this process as it is now; `serve(socket)` is what the copy does.
    /// Throws: `std::system_error`.
    template <typename Serve>
    static std::shared_ptr<ForkClient> copy_this_process(Serve serve) {
        auto [ours, theirs] = socket_pair();
        PrivateFd control(std::move(ours));
        const ::pid_t pid = check(MUSTER_SYSCALL(fork)(), "fork");
        if (pid == 0) {
            (void)MUSTER_SYSCALL(setpgid)(0, 0);
            (void)MUSTER_SYSCALL(close)(control.get());  // Else it would not see the parent's end.
            serve(theirs.get());
            MUSTER_SYSCALL(_exit)(0);
        }
        (void)MUSTER_SYSCALL(setpgid)(pid, pid);
        return std::make_shared<ForkClient>(std::move(control), ChildProcess::adopt(pid));
    }

    /// Readable when there is something to `receive`, or the server is gone.
    [[nodiscard]] int fd() const noexcept { return control_.get(); }
    [[nodiscard]] bool gone() const noexcept override { return gone_; }

    /// Has a copy made, which gets the descriptors.
    /// Throws: `std::system_error`.
    ChildProcess start(const HandedFds& fds) {
        const ForkRequest request;
        if (send_with_fds(control_.get(), std::as_bytes(std::span(&request, 1)), fds) == -1) {
            const int error = errno;
            gone_ = gone_ || error == EPIPE || error == ECONNRESET;
            if (gone_) take_in();
            throw_error(error, "the process that is to be copied");
        }
        for (;;) {
            std::optional<Received> received = next(0);
            if (!received) throw_error(ECONNRESET, "the process that is to be copied has ended");
            const ForkReport& report = received->report;
            if (report.kind == ForkReport::Kind::left || report.kind == ForkReport::Kind::killed) {
                keep(report);
                pending_ = true;
                continue;
            }
            if (report.kind == ForkReport::Kind::started) ended_.erase(report.pid);
            if (gone_) take_in();
            if (report.kind == ForkReport::Kind::failed) throw_error(report.value, "fork");
            return ChildProcess::adopt(report.pid, std::move(received->pidfd), shared_from_this());
        }
    }

    /// Whether `start` met reports, for which the socket is not looked at any more.
    [[nodiscard]] bool pending() const noexcept { return pending_; }

    /// Takes in what the server has reported.
    void receive() noexcept override {
        take_in();
        pending_ = false;
    }

    std::optional<ExitStatus> take_status(::pid_t pid) noexcept override {
        const auto entry = ended_.find(pid);
        if (entry == ended_.end()) return std::nullopt;
        return ended_.extract(entry).mapped();
    }

    void send_signal(::pid_t pid, int signal, SignalTarget target) noexcept override {
        const ForkRequest request{target == SignalTarget::group ? ForkRequest::Kind::signal_group
                                                                : ForkRequest::Kind::signal,
                                  pid, signal};
        // Does not wait for the server, which may itself wait until its reports are read.
        (void)send_with_fds(control_.get(), std::as_bytes(std::span(&request, 1)), {},
                            MSG_DONTWAIT);
    }

    /// How the server ended, if it does within a second.
    [[nodiscard]] std::optional<ExitStatus> server_end() noexcept {
        return server_.wait_exit(std::chrono::steady_clock::now() + std::chrono::seconds(1));
    }

  private:
    struct Received {
        ForkReport report;
        Fd pidfd;
    };

    /// What is there now. Of a server that is gone that is all, and nobody looks at its socket again.
    void take_in() noexcept {
        while (const std::optional<Received> received = next(MSG_DONTWAIT)) {
            keep(received->report);
            pending_ = true;
        }
    }

    std::optional<Received> next(int flags) noexcept {
        Received received;
        HandedFds fds{};
        ::ssize_t size = 0;
        bool reset = false;
        do {
            size = receive_with_fds(
                control_.get(), std::as_writable_bytes(std::span(&received.report, 1)), fds, flags);
            // Of one that ended with requests unread that is said first, and then what it reported.
        } while (size == -1 && errno == ECONNRESET && !std::exchange(reset, true));
        gone_ = gone_ || size == 0 || reset;
        if (size != static_cast<::ssize_t>(sizeof received.report)) return std::nullopt;
        received.pidfd = Fd{fds[0]};
        return received;
    }

    void keep(const ForkReport& report) noexcept {
        ended_[report.pid] = report.kind == ForkReport::Kind::left
                                 ? ExitStatus{.exit_code = report.value}
                                 : ExitStatus{.signal = report.value};
    }

    PrivateFd control_;
    ChildProcess server_;
    std::map<::pid_t, ExitStatus> ended_;
    bool pending_ = false;
    bool gone_ = false;
};

/// How many threads this process has.
inline std::size_t thread_count() {
    const std::unique_ptr<::DIR, int (*)(::DIR*)> tasks(::opendir("/proc/self/task"), &::closedir);
    if (!tasks) throw_errno("opendir /proc/self/task");
    std::size_t count = 0;
    while (const ::dirent* const entry = ::readdir(tasks.get()))
        if (entry->d_name[0] != '.') ++count;
    return count;
}

}  // namespace muster::detail::posix
