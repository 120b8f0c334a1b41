// SPDX-License-Identifier: MIT
// ctest: concurrency alone
// A program of its own: it stands in for the C library's atexit.
#include <muster/detail/os.hpp>
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <new>
#include <thread>

namespace {

namespace os = muster::detail::os;
using namespace std::chrono_literals;

std::atomic<bool> inside{false};  // In what no fork may happen in.
std::atomic<bool> was_inside{false};

/// Whether a copy was made: seen by all copies.
std::atomic<bool>& copied() {
    static auto& flag = *new (::mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0)) std::atomic<bool>;
    return flag;
}

/// Gives another thread the time to fork. It takes all of it if that is kept out.
void stay_inside() {
    inside = true;
    was_inside = true;
    const auto end = std::chrono::steady_clock::now() + 200ms;
    while (!copied() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    inside = false;
}

/// The exit code of a copy that does this.
template <typename Action>
int code_of_copy(Action action) {
    const ::pid_t pid = ::fork();
    if (pid == 0) {
        copied() = true;
        ::alarm(200);
        ::_exit(action());
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// Whether a fork while another thread does this makes a copy in which it is half done.
template <typename Action>
bool is_copied_half_done(Action action) {
    copied() = was_inside = false;
    std::thread other(action);
    while (!was_inside) std::this_thread::yield();
    const int code = code_of_copy([] { return inside ? 1 : 0; });
    other.join();
    return code != 0;
}

/// An application's mutex, which its forks take.
std::mutex of_application;
std::atomic<bool> fork_wants_it{false};
const int registered = ::pthread_atfork(
    [] {
        fork_wants_it = true;
        of_application.lock();
    },
    [] { of_application.unlock(); }, [] { of_application.unlock(); });

}  // namespace

extern "C" int atexit(void (*)()) noexcept {
    stay_inside();
    return 0;
}

namespace posix_no_forks_test {

TEST_CASE("a fork waits as long as another thread keeps it out") {
    CHECK_FALSE(is_copied_half_done([] {
        const os::NoForks no_forks;
        stay_inside();
    }));
}

TEST_CASE("a fork does not happen while a pool registers what it does at exit") {
    muster::ThreadPoolExecutor pool(1);
    CHECK_FALSE(is_copied_half_done([&] { pool.submit([] {}).wait(); }));
}

TEST_CASE("copies fork, and keep forks out, like the original") {
    { const os::NoForks before; }
    const int code = code_of_copy([] {
        return code_of_copy([] {
            const os::NoForks no_forks;
            return 7;
        });
    });
    CHECK(code == 7);
}

TEST_CASE("who holds what a fork waits for goes on") {
    REQUIRE(registered == 0);
    { const os::NoForks before; }  // From here on it is the first thing that a fork waits for.
    fork_wants_it = false;
    std::atomic<bool> held{false};
    std::thread other([&] {
        const std::lock_guard lock(of_application);
        held = true;
        while (!fork_wants_it) std::this_thread::yield();
        const os::NoForks no_forks;
    });
    while (!held) std::this_thread::yield();
    CHECK(code_of_copy([] { return 3; }) == 3);
    other.join();
}

}  // namespace posix_no_forks_test
