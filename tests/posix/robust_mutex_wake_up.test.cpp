// SPDX-License-Identifier: MIT
// ctest: alone
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <utility>

/// The system as it is when a thread is woken only after all that happens meanwhile.
namespace woken_late {
using ::close;
using ::getpid;
using ::kill;
using ::open;
using ::prctl;
using ::pthread_atfork;
using ::read;

inline std::function<void()> meanwhile;
inline std::atomic<int> wake_ups{0};

template <typename... Arguments>
long syscall(long number, Arguments... arguments) {
    return ::syscall(number, arguments...);
}
template <typename Word, typename... Arguments>
long syscall(long number, Word word, int operation, Arguments... arguments) {
    if (number == SYS_futex && operation == FUTEX_WAKE) ++wake_ups;
    if (number != SYS_futex || operation != FUTEX_WAIT_BITSET || !meanwhile)
        return ::syscall(number, word, operation, arguments...);
    std::exchange(meanwhile, nullptr)();
    return 0;
}
}  // namespace woken_late

#define MUSTER_SYSCALL(name) ::woken_late::name
#include <muster/detail/posix/robust_mutex.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <future>
#include <thread>

namespace posix_robust_mutex_wake_up_test {

using namespace muster::detail;
using namespace std::chrono_literals;

TEST_CASE("who was woken too late to lock a mutex leaves the wake-up to who has it") {
    posix::RobustMutex mutex;
    REQUIRE(mutex.lock() == posix::Locked::yes);
    const Deadline deadline = deadline_after(500ms);
    std::promise<void> sleeps, passed;
    woken_late::meanwhile = [&] {
        sleeps.set_value();
        (void)passed.get_future().wait_for(20s);
        std::this_thread::sleep_until(*deadline);
    };
    auto late = std::async(std::launch::async, [&] { return mutex.lock(deadline); });
    const bool slept = sleeps.get_future().wait_for(20s) == std::future_status::ready;
    CHECK(slept);
    CHECK(mutex.unlock());
    CHECK(woken_late::wake_ups == 1);
    CHECK(mutex.try_lock() == posix::Locked::yes);
    passed.set_value();
    CHECK(late.get() == posix::Locked::no);

    CHECK(mutex.unlock());

    CHECK(woken_late::wake_ups == 2);  // For the others, who may sleep.
}

}  // namespace posix_robust_mutex_wake_up_test
