// SPDX-License-Identifier: MIT
// ctest: alone
#include <muster/detail/posix/robust_mutex.hpp>

#include <dlfcn.h>
#include <doctest/doctest.h>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <utility>

namespace woken_late {

const muster::detail::posix::RobustMutex* mutex = nullptr;
std::function<void()> meanwhile;
std::atomic<int> wake_ups{0};

/// In place of the C library's function of that name, in all of this program: where a thread would
/// sleep for the mutex it is woken only after all that happens meanwhile.
extern "C" long system_call(long number, long a, long b, long c, long d, long e, long f) noexcept
    __asm__("syscall");

long system_call(long number, long a, long b, long c, long d, long e, long f) noexcept {
    static const auto real = reinterpret_cast<long (*)(long, ...)>(::dlsym(RTLD_NEXT, "syscall"));
    const auto first = reinterpret_cast<long>(mutex);
    if (number == SYS_futex && a >= first && a < first + static_cast<long>(sizeof *mutex)) {
        const int operation = static_cast<int>(b) & FUTEX_CMD_MASK;
        if (operation == FUTEX_WAKE) ++wake_ups;
        if (operation == FUTEX_WAIT_BITSET && meanwhile) {
            std::exchange(meanwhile, nullptr)();
            return 0;
        }
    }
    return real(number, a, b, c, d, e, f);
}

}  // namespace woken_late

namespace posix_robust_mutex_wake_up_test {

using namespace muster::detail;
using namespace std::chrono_literals;

TEST_CASE("who was woken too late to lock a mutex leaves the wake-up to who has it") {
    posix::RobustMutex mutex;
    woken_late::mutex = &mutex;
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
