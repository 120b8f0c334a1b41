// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/pidfd.hpp>
#include <muster/detail/posix/spawn_actions.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace muster::detail::posix {

/// Which program a child runs, and what it gets.
struct ProcessSpec {
    std::string executable = {};                      ///< A path; PATH is not searched.
    std::vector<std::string> arguments = {};          ///< All of argv; empty: the executable alone.
    std::vector<std::string> extra_environment = {};  ///< "NAME=value", in place of that NAME.
    std::vector<int> inherited = {};  ///< Descriptors that become 3, 4, 5 and so on in the child.
};

/// How a process ended.
///
/// | exit_code | signal | it                                                             |
/// |-----------|--------|----------------------------------------------------------------|
/// | set       | empty  | left main or called exit                                       |
/// | empty     | set    | was killed by that signal                                      |
/// | empty     | empty  | is gone, nobody knows how: the application ignores SIGCHLD, or |
/// |           |        | waits for any child                                            |
struct ExitStatus {
    std::optional<int> exit_code = std::nullopt;
    std::optional<int> signal = std::nullopt;

    bool operator==(const ExitStatus&) const = default;
};

/// Whose children some processes are: it alone can reap them, and knows whether a number is theirs.
/// If its process ends before them, the system kills them.
class Reaper {
  public:
    Reaper() = default;
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;

    /// Takes in what it has to tell.
    virtual void receive() noexcept = 0;
    /// How the process ended, told once; empty while it runs.
    virtual std::optional<ExitStatus> take_status(::pid_t pid) noexcept = 0;
    /// True when it will tell nothing more.
    [[nodiscard]] virtual bool gone() const noexcept = 0;
    virtual void send_signal(::pid_t pid, int signal, SignalTarget target) noexcept = 0;

    virtual ~Reaper() = default;
};

/// The parent's environment with `extra` in place of its variables of the same names.
///
/// The pointers are good as long as `extra`, and the parent's environment, don't change.
inline std::vector<char*> environment_with(const std::vector<std::string>& extra) {
    const auto name = [](std::string_view variable) {
        return variable.substr(0, variable.find('='));
    };
    std::vector<char*> all;
    for (char** variable = ::environ; variable != nullptr && *variable != nullptr; ++variable) {
        const bool replaced = std::any_of(extra.begin(), extra.end(), [&](const std::string& own) {
            return name(own) == name(*variable);
        });
        if (!replaced) all.push_back(*variable);
    }
    for (const std::string& variable : extra) all.push_back(const_cast<char*>(variable.c_str()));
    all.push_back(nullptr);
    return all;
}

/// A child process, in a process group of its own. An empty ChildProcess has pid() -1.
///
/// | state   | poll_exit()       | kill(), kill_group()                        |
/// |---------|-------------------|---------------------------------------------|
/// | running | empty             | send the signal                             |
/// | ended   | reaps, the status | do nothing to it; the group may be ended    |
/// | reaped  | the same status   | do nothing, so no later owner of the number |
/// |         |                   | is hit; the group only where it's certain   |
///
/// The destructor neither ends the process nor waits for it: who doesn't ask for its end leaves a
/// zombie. Other children of the application, its SIGCHLD handler included, are not touched.
/// Thread safety: none; one thread at a time.
class ChildProcess {
  public:
    ChildProcess() noexcept = default;
    ChildProcess(ChildProcess&& other) noexcept
        : pid_{std::exchange(other.pid_, -1)},
          death_{std::move(other.death_)},
          reaper_{std::move(other.reaper_)},
          status_{std::exchange(other.status_, std::nullopt)} {}
    ChildProcess& operator=(ChildProcess other) noexcept {
        std::swap(pid_, other.pid_);
        std::swap(death_, other.death_);
        std::swap(reaper_, other.reaper_);
        std::swap(status_, other.status_);
        return *this;
    }
    ~ChildProcess() = default;

    /// Starts a program.
    ///
    /// Standard input is the null device, output and error are the parent's (the null device where
    /// the parent has closed them), `spec.inherited` follows from 3 on, and there is no other
    /// descriptor. No signal is blocked; those that the parent ignores stay ignored.
    ///
    /// Throws: `std::system_error` that names the executable; then there is no child.
    static ChildProcess start(const ProcessSpec& spec) {
        const int end = STDERR_FILENO + 1 + static_cast<int>(spec.inherited.size());
        // Sources are copied above the targets first, so none is overwritten before it is handed
        // on, and none is its own target: that would leave it closed at exec.
        const Fd null = duplicate_above(
            Fd{check(MUSTER_SYSCALL(open)("/dev/null", O_RDWR | O_CLOEXEC), "open /dev/null")}
                .get(),
            end);
        SpawnActions actions;
        actions.hand_on(null.get(), STDIN_FILENO);
        for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
            const bool open = MUSTER_SYSCALL(fcntl)(fd, F_GETFD) != -1;
            actions.hand_on(open ? fd : null.get(), fd);
        }
        std::vector<Fd> sources;
        for (const int fd : spec.inherited) {
            sources.push_back(duplicate_above(fd, end));
            const int target = STDERR_FILENO + static_cast<int>(sources.size());
            actions.hand_on(sources.back().get(), target);
        }
        actions.close_from(end);

        std::vector<char*> arguments;
        for (const std::string& argument : spec.arguments)
            arguments.push_back(const_cast<char*>(argument.c_str()));
        if (arguments.empty()) arguments.push_back(const_cast<char*>(spec.executable.c_str()));
        arguments.push_back(nullptr);
        const std::vector<char*> environment = environment_with(spec.extra_environment);

        ChildProcess child;
        const Attributes attributes;
        const int error =
            MUSTER_SYSCALL(posix_spawn)(&child.pid_, spec.executable.c_str(), actions.get(),
                                        attributes.get(), arguments.data(), environment.data());
        if (error != 0) throw_error(error, ("posix_spawn " + spec.executable).c_str());
        child.open_death();
        return child;
    }

    /// A child that was started otherwise.
    static ChildProcess adopt(::pid_t pid) {
        ChildProcess child;
        child.pid_ = pid;
        child.open_death();
        return child;
    }

    /// A child of `reaper`'s.
    static ChildProcess adopt(::pid_t pid, Fd death, std::shared_ptr<Reaper> reaper) {
        ChildProcess child;
        child.pid_ = pid;
        child.death_ = above_stdio(std::move(death));
        child.reaper_ = std::move(reaper);
        return child;
    }

    [[nodiscard]] ::pid_t pid() const noexcept { return pid_; }

    /// Readable once the process has ended; -1 where the system can't say it so, when another process
    /// is there to reap it, or when it was gone before it could be asked for: then ask poll_exit(),
    /// at the end of its lifeline say.
    [[nodiscard]] int death_fd() const noexcept {
        return reaper_ && !reaper_->gone() ? -1 : death_.get();
    }

    /// As death_fd(), also when another process reaps it: how it ended may be known a little later.
    [[nodiscard]] int end_fd() const noexcept { return death_.get(); }
    /// The process that reaps it, if that is another one.
    [[nodiscard]] Reaper* reaper() const noexcept { return reaper_.get(); }

    /// How it ended, reaping it; empty while it runs.
    ///
    /// `end_group` also ends what is left of its process group, before the number is free again.
    /// Of a child that the application reaped instead, the group is ended from Linux 6.9 on.
    [[nodiscard]] std::optional<ExitStatus> poll_exit(bool end_group = false) noexcept {
        if (status_ || pid_ == -1) return status_;
        const std::optional<ExitStatus> seen = look();
        if (!seen) return std::nullopt;
        if (end_group) signal_group();
        if (*seen != ExitStatus{} && (!reaper_ || reaper_->gone())) reap();
        status_ = seen;
        // Its reaper ended before it could tell: the system has ended its children with it.
        if (reaper_ && *seen == ExitStatus{}) status_->signal = SIGKILL;
        return status_;
    }

    /// As poll_exit(), but waits for the end, at most until `deadline`.
    ///
    /// Blocks: until then; without a deadline as long as the process runs.
    [[nodiscard]] std::optional<ExitStatus> wait_exit(
        std::optional<std::chrono::steady_clock::time_point> deadline = std::nullopt,
        bool end_group = false) noexcept {
        for (;;) {
            if (auto status = poll_exit(end_group); status || pid_ == -1) return status;
            std::chrono::nanoseconds left = std::chrono::hours{1};
            if (deadline) {
                left = std::min(left, *deadline - std::chrono::steady_clock::now());
                if (left <= left.zero()) return std::nullopt;
            }
            wait_for_death(left, deadline.has_value());
        }
    }

    /// Sends a signal to the process alone. Nothing happens if it has ended.
    ///
    /// Throws: `std::system_error` if there is no such signal, or it may not be sent.
    void kill(int signal) {
        if (send(signal) == -1 && errno != ESRCH) throw_errno("kill");
    }

    /// Asks the process to end, which it may refuse.
    void terminate() noexcept { (void)send(SIGTERM); }

    /// Ends the process and everything in its group, at once.
    void kill_group() noexcept {
        signal_group();
        (void)send(SIGKILL);  // It may have moved to another group.
    }

  private:
    /// A process group of its own, and no signal blocked.
    class Attributes {
      public:
        Attributes() {
            check_error(MUSTER_SYSCALL(posix_spawnattr_init)(&attributes_), "posix_spawn");
            ::sigset_t none;
            ::sigemptyset(&none);
            (void)MUSTER_SYSCALL(posix_spawnattr_setflags)(
                &attributes_, static_cast<short>(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK));
            (void)MUSTER_SYSCALL(posix_spawnattr_setpgroup)(&attributes_, 0);
            (void)MUSTER_SYSCALL(posix_spawnattr_setsigmask)(&attributes_, &none);
        }
        Attributes(const Attributes&) = delete;
        Attributes& operator=(const Attributes&) = delete;
        ~Attributes() { MUSTER_SYSCALL(posix_spawnattr_destroy)(&attributes_); }
        [[nodiscard]] const ::posix_spawnattr_t* get() const noexcept { return &attributes_; }

      private:
        ::posix_spawnattr_t attributes_;
    };

    void open_death() noexcept {
        death_ = pidfd_open(pid_);
        if (!death_) return;
        // The application may have reaped the child already: is this ours, or a later process?
        ::siginfo_t info{};
        if (wait_id(info, WEXITED | WNOHANG | WNOWAIT) == 0) return;
        if (errno == ECHILD) status_ = ExitStatus{};
        death_ = Fd{};
    }

    [[nodiscard]] int wait_id(::siginfo_t& info, int options) const noexcept {
        constexpr auto by_pidfd = static_cast<::idtype_t>(3);  // P_PIDFD, not in every header.
        const auto type = death_ ? by_pidfd : P_PID;
        const auto id = static_cast<::id_t>(death_ ? death_.get() : pid_);
        return retry_interrupted([&] { return MUSTER_SYSCALL(waitid)(type, id, &info, options); });
    }

    /// How it ended, without reaping it; empty while it runs.
    [[nodiscard]] std::optional<ExitStatus> look() const noexcept {
        if (reaper_) {
            const auto status = reaper_->take_status(pid_);
            if (status || !reaper_->gone()) return status;
        }
        ::siginfo_t info{};
        if (wait_id(info, WEXITED | WNOHANG | WNOWAIT) == 0) {
            if (info.si_pid == 0) return std::nullopt;
            if (info.si_code == CLD_EXITED) return ExitStatus{.exit_code = info.si_status};
            return ExitStatus{.signal = info.si_status};
        }
        // Not our child any more; or not ours at all, in a copy made by the application's fork.
        const bool gone = death_ ? pidfd_ended(death_.get())
                                 : MUSTER_SYSCALL(kill)(pid_, 0) == -1 && errno == ESRCH;
        return gone ? std::optional{ExitStatus{}} : std::nullopt;
    }

    void reap() const noexcept {
        ::siginfo_t info{};
        (void)wait_id(info, WEXITED | WNOHANG);
    }

    /// May its number be used? As long as it is our child that nobody has reaped.
    [[nodiscard]] bool owns_number() const noexcept {
        ::siginfo_t info{};
        return pid_ != -1 && !status_ && wait_id(info, WEXITED | WNOHANG | WNOWAIT) == 0;
    }

    /// As `kill`: -1 and `errno` if it failed.
    [[nodiscard]] int send(int signal) const noexcept {
        if (death_) {
            const int result = pidfd_send_signal(death_.get(), signal);
            if (result == 0 || errno != ENOSYS) return result;
        }
        if (owns_number()) return MUSTER_SYSCALL(kill)(pid_, signal);
        if (reaper_ && !status_) {
            reaper_->send_signal(pid_, signal, SignalTarget::process);
            return 0;
        }
        errno = ESRCH;
        return -1;
    }

    void signal_group() const noexcept {
        if (death_) {
            const int result = pidfd_send_signal(death_.get(), SIGKILL, SignalTarget::group);
            if (result == 0 || errno == ESRCH) return;
        }
        if (reaper_ && !status_) return reaper_->send_signal(pid_, SIGKILL, SignalTarget::group);
        if (owns_number()) (void)MUSTER_SYSCALL(kill)(-pid_, SIGKILL);
    }

    /// Waits for the death or until the time is up; or a little less.
    void wait_for_death(std::chrono::nanoseconds limit, bool limited) const noexcept {
        if (!death_ && !limited && owns_number()) {
            ::siginfo_t info{};
            (void)wait_id(info, WEXITED | WNOWAIT);
            return;
        }
        // Nothing announces the death to one who has no pidfd and no time to wait for ever.
        if (!death_)
            limit = std::min<std::chrono::nanoseconds>(limit, std::chrono::milliseconds{2});
        const auto whole = std::chrono::duration_cast<std::chrono::seconds>(limit);
        ::timespec timeout{};
        timeout.tv_sec = static_cast<std::time_t>(whole.count());
        timeout.tv_nsec = static_cast<long>((limit - whole).count());
        ::pollfd death{death_.get(), POLLIN, 0};  // A negative descriptor is skipped.
        (void)MUSTER_SYSCALL(ppoll)(&death, 1, &timeout, nullptr);
    }

    ::pid_t pid_ = -1;
    Fd death_;
    std::shared_ptr<Reaper> reaper_;  // If it is not this process's own child.
    std::optional<ExitStatus> status_;
};

}  // namespace muster::detail::posix
