// SPDX-License-Identifier: MIT
#include <posix/process_cases.hpp>

namespace posix_process_test {

namespace {

bool readable(int fd, int timeout) {
    ::pollfd poll{fd, POLLIN, 0};
    return ::poll(&poll, 1, timeout) == 1;
}

}  // namespace

TEST_CASE("the death descriptor becomes readable at the death, and stays so") {
    Voice voice;
    auto child = ChildProcess::start(shell("read line <&3", voice.inherited()));
    if (child.death_fd() == -1) return;  // An old kernel, or a sandbox.
    CHECK(child.death_fd() > STDERR_FILENO);
    CHECK_FALSE(readable(child.death_fd(), 0));
    voice.answer();
    CHECK(readable(child.death_fd(), -1));
    CHECK(child.poll_exit() == exited(0));
    CHECK(readable(child.death_fd(), 0));
}

TEST_CASE("the group of a child that the system reaped is ended where its pidfd can do that") {
    const Disposition ignored{SIGCHLD, SIG_IGN};
    Voice voice;
    auto child = start_family(voice, "exit 4");
    const bool possible =
        child.death_fd() != -1 && pidfd_send_signal(child.death_fd(), 0, SignalTarget::group) == 0;
    CHECK(child.wait_exit(std::nullopt, true) == ExitStatus{});
    if (possible) CHECK(voice.next() == std::nullopt);
}

}  // namespace posix_process_test
