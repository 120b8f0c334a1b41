// SPDX-License-Identifier: MIT
#pragma once

// What a ChildProcess promises on every system. process.test.cpp proves it on this one, and
// process_without_pidfd.test.cpp on one that knows neither pidfds nor closing from a number on.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <muster/detail/posix/lifeline.hpp>
#include <muster/detail/posix/process.hpp>
#include <muster/detail/posix/read_file.hpp>
#include <optional>
#include <posix/descriptors.hpp>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace muster::detail::posix;
using muster::test::open_descriptors;
using muster::test::StandardStreamsClosed;

ProcessSpec shell(const std::string& script, std::vector<int> inherited = {}) {
    return {.executable = "/bin/sh",
            .arguments = {"sh", "-c", script},
            .inherited = std::move(inherited)};
}

ExitStatus exited(int code) { return {.exit_code = code}; }
ExitStatus signalled(int signal) { return {.signal = signal}; }

/// A child that has stopped itself, to be looked at; it is ended at the end.
class StoppedChild {
  public:
    explicit StoppedChild(std::vector<int> inherited = {}) {
        child_ = ChildProcess::start(shell("kill -STOP $$", std::move(inherited)));
        ::siginfo_t info{};
        ::waitid(P_PID, static_cast<::id_t>(child_.pid()), &info, WSTOPPED | WNOWAIT);
    }
    StoppedChild(const StoppedChild&) = delete;
    StoppedChild& operator=(const StoppedChild&) = delete;
    ~StoppedChild() {
        child_.kill_group();
        (void)child_.wait_exit();
    }

    [[nodiscard]] ::pid_t pid() const { return child_.pid(); }
    [[nodiscard]] std::set<int> descriptors() const { return open_descriptors(number()); }
    [[nodiscard]] std::string file(int fd) const {
        char path[PATH_MAX];
        const std::string link = "/proc/" + number() + "/fd/" + std::to_string(fd);
        const auto size = ::readlink(link.c_str(), path, sizeof path);
        return size < 0 ? "nothing" : std::string(path, static_cast<std::size_t>(size));
    }
    /// A mask of signals ("SigBlk", "SigIgn").
    [[nodiscard]] unsigned long long signals(const std::string& name) const {
        const std::string status = read_file("/proc/" + number() + "/status").value_or("");
        return std::strtoull(status.c_str() + status.find(name + ":") + name.size() + 1, nullptr,
                             16);
    }

  private:
    [[nodiscard]] std::string number() const { return std::to_string(child_.pid()); }

    ChildProcess child_;
};

/// What a child says on descriptor 3: a packet, or empty when all of its kind have ended.
class Voice {
  public:
    std::vector<int> inherited() { return {pair_.second.get()}; }
    void started() { pair_.second = Fd{}; }
    std::optional<std::string> next() {
        std::array<std::byte, 4096> buffer{};
        const auto size = receive_packet(pair_.first.get(), buffer);
        if (!size) return std::nullopt;
        return std::string(reinterpret_cast<const char*>(buffer.data()), *size);
    }
    /// Lets the child's `read line <&3` return. A shell reads single bytes, so packets have one.
    void answer() { send_packet(pair_.first.get(), std::as_bytes(std::span{"\n", 1})); }

  private:
    std::pair<Fd, Fd> pair_ = socket_pair();
};

/// As long as it lives, a signal is handled in this way.
class Disposition {
  public:
    Disposition(int signal, void (*handler)(int)) : signal_{signal} {
        struct ::sigaction action {};
        action.sa_handler = handler;
        ::sigaction(signal, &action, &before_);
    }
    Disposition(const Disposition&) = delete;
    Disposition& operator=(const Disposition&) = delete;
    ~Disposition() { ::sigaction(signal_, &before_, nullptr); }

  private:
    int signal_;
    struct ::sigaction before_ {};
};

bool is_reaped(::pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) == -1 && errno == ECHILD; }

/// Starts a shell that starts a grandchild, which holds the voice; both run for ever.
ChildProcess start_family(Voice& voice, const std::string& then) {
    auto child = ChildProcess::start(shell(
        "(echo grandchild >&3; exec sleep 1000) & read line <&3; " + then, voice.inherited()));
    voice.started();
    CHECK(voice.next() == "grandchild\n");
    voice.answer();
    return child;
}

}  // namespace

TEST_CASE("the exit code of a child is told, and told again, and the child is reaped") {
    auto child = ChildProcess::start(shell("exit 7"));
    const ::pid_t pid = child.pid();
    CHECK(child.wait_exit() == exited(7));
    CHECK(child.poll_exit() == exited(7));
    CHECK(child.wait_exit() == exited(7));
    CHECK(is_reaped(pid));
}

TEST_CASE("the signal that ended a child is told") {
    auto child = ChildProcess::start(shell("kill -KILL $$"));
    CHECK(child.wait_exit() == signalled(SIGKILL));
}

TEST_CASE("a child that runs has no exit status, and a deadline ends the waiting for it") {
    Voice voice;
    auto child = ChildProcess::start(shell("read line <&3; exit 3", voice.inherited()));
    const auto now = std::chrono::steady_clock::now();
    CHECK(child.poll_exit() == std::nullopt);
    CHECK(child.wait_exit(now) == std::nullopt);
    CHECK(child.wait_exit(now + std::chrono::milliseconds{20}) == std::nullopt);
    CHECK(std::chrono::steady_clock::now() >= now + std::chrono::milliseconds{20});
    voice.answer();
    CHECK(child.wait_exit(now + std::chrono::hours{1}) == exited(3));
}

TEST_CASE("a moved child is empty, and the other one goes on") {
    auto child = ChildProcess::start(shell("exit 1"));
    ChildProcess moved = std::move(child);
    CHECK(child.pid() == -1);
    CHECK(child.death_fd() == -1);
    CHECK(child.poll_exit() == std::nullopt);
    CHECK(child.wait_exit() == std::nullopt);
    child.kill(SIGKILL);
    child.kill_group();
    CHECK(moved.wait_exit() == exited(1));
}

TEST_CASE("arguments and environment arrive, and a variable is replaced, not doubled") {
    ::setenv("MUSTER_TEST_ONE", "the parent's", 1);
    ::setenv("MUSTER_TEST_ONE_MORE", "kept", 1);
    Voice voice;
    ProcessSpec spec = shell(
        "echo \"$1|$2|$MUSTER_TEST_ONE|$MUSTER_TEST_ONE_MORE|$MUSTER_TEST_NEW|"
        "$(env | grep -c ^MUSTER_TEST_)\" >&3",
        voice.inherited());
    spec.arguments.insert(spec.arguments.end(), {"zero", "a b", ""});
    spec.extra_environment = {"MUSTER_TEST_ONE=own", "MUSTER_TEST_NEW=new"};
    auto child = ChildProcess::start(spec);
    CHECK(voice.next() == "a b||own|kept|new|3\n");
    CHECK(child.wait_exit() == exited(0));
    ::unsetenv("MUSTER_TEST_ONE");
    ::unsetenv("MUSTER_TEST_ONE_MORE");
}

TEST_CASE("a child has descriptors 0 to 2 and the inherited ones, and no other") {
    const Fd of_the_application{::fcntl(STDERR_FILENO, F_DUPFD, 50)};  // Open across an exec.
    REQUIRE((::fcntl(of_the_application.get(), F_GETFD) & FD_CLOEXEC) == 0);
    const auto [one, other] = socket_pair();
    CHECK(StoppedChild{}.descriptors() == std::set<int>{0, 1, 2});
    CHECK(StoppedChild{{one.get(), other.get()}}.descriptors() == std::set<int>{0, 1, 2, 3, 4});
}

TEST_CASE("inherited descriptors arrive in order, whatever their numbers are in the parent") {
    const Fd null{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const Fd zero{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    const Fd full{::open("/dev/full", O_RDONLY | O_CLOEXEC)};
    for (const auto& order : {std::array{null.get(), zero.get(), full.get()},
                              std::array{full.get(), zero.get(), null.get()},
                              std::array{zero.get(), full.get(), zero.get()}}) {
        const StoppedChild child{{order.begin(), order.end()}};
        for (int i = 0; i < 3; ++i) {
            char path[PATH_MAX];
            const std::string link =
                "/proc/self/fd/" + std::to_string(order[static_cast<std::size_t>(i)]);
            const auto size = ::readlink(link.c_str(), path, sizeof path);
            CHECK(child.file(3 + i) == std::string(path, static_cast<std::size_t>(size)));
        }
    }
}

TEST_CASE("a child reads from the null device and writes to its parent's streams") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const Fd reader{ends[0]};
    Fd writer{ends[1]};
    const Fd output{::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100)};
    ::dup2(writer.get(), STDOUT_FILENO);
    auto child = ChildProcess::start(shell("echo said"));
    const StoppedChild stopped;
    ::dup2(output.get(), STDOUT_FILENO);
    writer = Fd{};
    CHECK(child.wait_exit() == exited(0));
    char said[16];
    CHECK(::read(reader.get(), said, sizeof said) == 5);
    CHECK(stopped.file(0) == "/dev/null");
    CHECK(stopped.file(1).starts_with("pipe:"));
}

TEST_CASE("a parent that closed its standard streams has children with null devices") {
    std::array<std::string, 3> files;
    std::set<int> numbers;
    {
        const StandardStreamsClosed closed;
        const StoppedChild child;
        numbers = child.descriptors();
        for (int fd = 0; fd < 3; ++fd) files[static_cast<std::size_t>(fd)] = child.file(fd);
    }
    for (const std::string& file : files) CHECK(file == "/dev/null");
    CHECK(numbers == std::set<int>{0, 1, 2});
}

TEST_CASE("a child leads a group of its own, blocks no signal, and ignores what its parent does") {
    const Disposition ignored{SIGUSR2, SIG_IGN};
    ::sigset_t block;
    ::sigset_t before;
    ::sigemptyset(&block);
    ::sigaddset(&block, SIGUSR1);
    ::pthread_sigmask(SIG_BLOCK, &block, &before);
    const StoppedChild child;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    CHECK(::getpgid(child.pid()) == child.pid());
    CHECK(child.signals("SigBlk") == 0);
    CHECK((child.signals("SigIgn") & (1ULL << (SIGUSR2 - 1))) != 0);
}

TEST_CASE("a program that can't be started is an error that names it, and nothing is left") {
    const auto before = open_descriptors();
    std::string message;
    std::error_code code;
    try {
        (void)ChildProcess::start({.executable = "/nowhere/muster-test"});
    } catch (const std::system_error& error) {
        message = error.what();
        code = error.code();
    }
    CHECK(message.find("/nowhere/muster-test") != message.npos);
    CHECK(code == std::errc::no_such_file_or_directory);
    CHECK_THROWS_AS((void)ChildProcess::start(shell("exit", {-1})), std::system_error);
    CHECK(open_descriptors() == before);
    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("children leave no descriptor behind") {
    const auto before = open_descriptors();
    for (int i = 0; i < 20; ++i) CHECK(ChildProcess::start(shell("exit")).wait_exit() == exited(0));
    CHECK(open_descriptors() == before);
}

TEST_CASE("a signal reaches a child, and nobody once the child is reaped") {
    Voice voice;
    auto child = ChildProcess::start(shell("read line <&3", voice.inherited()));
    CHECK_THROWS_AS(child.kill(12345), std::system_error);
    child.kill(SIGTERM);
    CHECK(child.wait_exit() == signalled(SIGTERM));
    child.kill(SIGKILL);
    child.kill_group();
    CHECK(child.poll_exit() == signalled(SIGTERM));
}

TEST_CASE("a signal to a child that ended and isn't reaped yet does nothing") {
    auto child = ChildProcess::start(shell("exit 5"));
    ::siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<::id_t>(child.pid()), &info, WEXITED | WNOWAIT) == 0);
    child.kill(SIGTERM);
    child.kill_group();
    CHECK(child.poll_exit() == exited(5));
}

TEST_CASE("kill_group ends a child and its children") {
    Voice voice;
    auto child = start_family(voice, "wait");
    child.kill_group();
    CHECK(voice.next() == std::nullopt);
    CHECK(child.wait_exit() == signalled(SIGKILL));
}

TEST_CASE("what is left of the group of a child that ended is ended on demand") {
    Voice voice;
    auto child = start_family(voice, "exit 4");
    CHECK(child.wait_exit(std::nullopt, true) == exited(4));
    CHECK(voice.next() == std::nullopt);
}

TEST_CASE("where the application ignores SIGCHLD, a death is seen and its status unknown") {
    const Disposition ignored{SIGCHLD, SIG_IGN};
    Voice voice;
    auto child = ChildProcess::start(shell("read line <&3; exit 3", voice.inherited()));
    voice.started();
    CHECK(child.poll_exit() == std::nullopt);
    voice.answer();
    CHECK(child.wait_exit() == ExitStatus{});
    child.kill(SIGKILL);
    CHECK(child.poll_exit() == ExitStatus{});
}

TEST_CASE("a child that the application reaped is seen as dead, its status unknown") {
    auto child = ChildProcess::start(shell("exit 3"));
    CHECK(::waitpid(-1, nullptr, 0) == child.pid());
    CHECK(child.wait_exit() == ExitStatus{});
    child.kill(SIGKILL);
    child.kill_group();
}

TEST_CASE("children of the application and its SIGCHLD handler are left alone") {
    static volatile ::sig_atomic_t noticed = 0;
    const Disposition handler{SIGCHLD, [](int) { noticed = noticed + 1; }};
    const ::pid_t own = ::fork();
    if (own == 0) ::_exit(9);
    auto child = ChildProcess::start(shell("exit 1"));
    CHECK(child.wait_exit() == exited(1));
    int status = 0;
    ::pid_t reaped = -1;
    while ((reaped = ::waitpid(own, &status, 0)) == -1 && errno == EINTR) continue;
    CHECK(reaped == own);
    CHECK(WEXITSTATUS(status) == 9);
    struct ::sigaction now {};
    ::sigaction(SIGCHLD, nullptr, &now);
    const bool still_there = now.sa_handler != SIG_DFL;
    CHECK(still_there);
    CHECK(noticed >= 1);
}
