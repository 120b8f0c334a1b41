// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods alone
// A program of its own: it stands in for functions of the C library.
// The system has no memory for messages between processes, or too many descriptors in them, just now.
#include <muster/multiprocessing/pipe.hpp>
#include <muster/multiprocessing/process.hpp>

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace {

std::atomic<unsigned> calls{0};  // In each process.

/// All but each third call are.
bool is_refused() {
    const unsigned number = ++calls % 3;
    errno = number == 1 ? ENOBUFS : ENOMEM;
    return number != 0;
}

template <typename Function>
Function original(const char* name) {
    return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" ::ssize_t send(int fd, const void* bytes, std::size_t size, int flags) {
    static const auto sends = original<decltype(&::send)>("send");
    return is_refused() ? -1 : sends(fd, bytes, size, flags);
}

extern "C" ::ssize_t sendmsg(int fd, const ::msghdr* message, int flags) {
    static const auto sends = original<decltype(&::sendmsg)>("sendmsg");
    // What a fork server has for who asked for the copy is never taken.
    if (message->msg_control && message->msg_controllen == CMSG_SPACE(sizeof(int))) {
        errno = ETOOMANYREFS;
        return -1;
    }
    return is_refused() ? -1 : sends(fd, message, flags);
}

namespace posix_refused_messages_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::ProcessPool;

constexpr std::chrono::milliseconds patience(muster::test::patience_ms);

int twice(int x) { return 2 * x; }

}  // namespace

TEST_CASE("pools work where messages are refused for want of memory or descriptors") {
    ProcessPool pool(2);
    std::vector<muster::Future<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(pool.submit(twice, i));
    const auto crashes = pool.submit([] { ::raise(SIGKILL); });
    const auto overruns = pool.submit({.timeout = std::chrono::milliseconds(20)}, [] {
        for (;;) ::pause();
    });
    for (int i = 0; i < 100; ++i) {
        REQUIRE(tasks[static_cast<std::size_t>(i)].wait_for(patience));
        CHECK(tasks[static_cast<std::size_t>(i)].result() == 2 * i);
    }
    REQUIRE(crashes.wait_for(patience));
    CHECK_THROWS_AS(crashes.result(), muster::WorkerCrashed);
    REQUIRE(overruns.wait_for(patience));
    CHECK_THROWS_AS(overruns.result(), muster::TaskTimeout);
    CHECK(pool.submit(twice, 4).result() == 8);
    CHECK(pool.submit([] { return calls.load(); }).result() > 0);
}

TEST_CASE("processes and pipes work there, too") {
    auto [ours, theirs] = mp::Pipe();
    mp::Process process(
        {.start_method = muster::test::tested_start_method()},
        [](const mp::Connection& end) { end.send(end.recv<std::string>() + "!"); }, theirs);
    process.start();
    ours.send(std::string("hello"));
    CHECK(ours.recv<std::string>() == "hello!");
    process.join();
    CHECK(process.exit_code() == 0);
}

}  // namespace posix_refused_messages_test
