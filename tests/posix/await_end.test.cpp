// SPDX-License-Identifier: MIT
// How who has no descriptors left waits for the end of a process that is not its child.
#include <muster/detail/os.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <ctime>

#include "support/asleep.hpp"
#include "support/family.hpp"

namespace posix_await_end_test {

namespace {

namespace os = muster::detail::os;
using muster::detail::at_once;
using muster::detail::deadline_after;
using muster::test::Copy;
using muster::test::falls_asleep;
using muster::test::patience;
using namespace std::chrono_literals;

/// The descriptors that a process can still open.
enum class Descriptors : ::rlim_t { none, one };

/// A copy that waits for the end of another process, and may fall asleep. To wait takes no time of
/// the CPU: a copy that takes some seconds of it is ended.
class Waiter {
  public:
    /// `wait` is done with so many descriptors; it is the exit code of the copy.
    template <typename Wait>
    Waiter(Descriptors left, Wait wait)
        : copy_([left, wait] {
              const ::rlimit seconds{5, 5};
              ::setrlimit(RLIMIT_CPU, &seconds);
              const int lowest = ::dup(STDERR_FILENO);
              ::close(lowest);
              const ::rlim_t end = static_cast<::rlim_t>(lowest) + static_cast<::rlim_t>(left);
              const ::rlimit descriptors{end, end};
              ::setrlimit(RLIMIT_NOFILE, &descriptors);
              ::_exit(wait());
          }) {}

    [[nodiscard]] bool is_alive() const { return ::kill(copy_.pid(), 0) == 0; }
    [[nodiscard]] long long id() const { return copy_.pid(); }
    int join() { return copy_.join(); }

  private:
    Copy copy_;
};

/// A copy that does nothing until it is killed.
Copy idle() {
    return Copy([] {
        for (;;) ::pause();
    });
}
/// Without the time of its start, which is not needed here.
std::uint64_t number_of(const Copy& copy) { return static_cast<std::uint64_t>(copy.pid()) << 40; }

std::chrono::nanoseconds time_of_cpu() {
    ::timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

TEST_CASE("who watches a process through the last descriptor sees its end before it is reaped") {
    Copy watched = idle();
    const auto waits = [number = number_of(watched)] {
        return os::await_end(number, deadline_after(patience)) ? 7 : 8;
    };
    Waiter before(Descriptors::one, waits);
    REQUIRE(falls_asleep(before));
    ::kill(watched.pid(), SIGKILL);
    CHECK(before.join() == 7);
    Waiter after(Descriptors::one, waits);
    CHECK(after.join() == 7);
    Waiter at_last(Descriptors::one, [number = number_of(watched)] {
        return os::await_end(number, at_once) ? 7 : 8;
    });
    CHECK(at_last.join() == 7);
    CHECK(watched.join() == -SIGKILL);
}

TEST_CASE("who has no descriptor to watch a process looks now and then, and sleeps in between") {
    Copy watched = idle();
    const std::uint64_t number = number_of(watched);
    Waiter in_vain(Descriptors::none, [number] {
        constexpr auto time = 500ms;
        const auto before = time_of_cpu();
        if (os::await_end(number, deadline_after(time))) return 8;
        return time_of_cpu() - before < time / 4 ? 7 : 9;
    });
    CHECK(in_vain.join() == 7);
    Waiter to_the_end(Descriptors::none,
                      [number] { return os::await_end(number, deadline_after(patience)) ? 7 : 8; });
    CHECK(watched.kill() == -SIGKILL);
    CHECK(to_the_end.join() == 7);
}

}  // namespace posix_await_end_test
