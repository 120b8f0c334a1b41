// SPDX-License-Identifier: MIT
// A program that shares names with the tests, and nothing else. Its first argument says what it does
// with the second, a name: "make" or "find" memory, take a "lock", or "churn": use both and let go of
// them, again and again. It says what it saw, and keeps what it has until it is told to end.
#include <muster/multiprocessing/lock.hpp>
#include <muster/multiprocessing/shared_memory.hpp>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>

namespace mp = muster::multiprocessing;

namespace {

void say(const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
}

void await_end() {
    ::sigset_t end;
    ::sigemptyset(&end);
    ::sigaddset(&end, SIGTERM);
    int signal = 0;
    (void)::sigwait(&end, &signal);
}

/// What one of many sees that come and go: bytes 0 and 1 are equal whenever nobody holds the lock, its
/// own byte is 0 whenever it does not use the memory, and all others are zeros.
int churn(const std::string& name, std::size_t own) {
    for (int round = 0; round < 200; ++round) {
        const mp::SharedMemory memory(name, 100'000);
        const mp::Lock lock(name);
        const auto bytes = memory.span();
        if (bytes.size() != 100'000) return 1;
        if (!std::all_of(bytes.begin() + 100, bytes.end(),
                         [](std::byte each) { return each == std::byte{0}; }))
            return 2;
        if (bytes[own] != std::byte{0}) return 3;
        bytes[own] = std::byte{1};
        const mp::SharedMemory same(name);
        if (same.span()[own] != std::byte{1}) return 4;
        {
            const mp::Lock same_lock(name);
            const std::scoped_lock held(round % 2 == 0 ? lock : same_lock);
            if (bytes[0] != bytes[1]) return 5;
            bytes[0] = std::byte(round & 0xFF);
            same.span()[1] = bytes[0];
        }
        bytes[own] = std::byte{0};
    }
    return 0;
}

void use(const std::string& what, const std::string& name) {
    if (what == "lock") {
        const mp::Lock lock(name);
        lock.lock();
        say("locked");
        await_end();
        return lock.unlock();
    }
    const auto memory = what == "make" ? mp::SharedMemory(name, 64) : mp::SharedMemory(name);
    say(std::to_string(std::to_integer<int>(memory.data()[0])));
    memory.data()[0] = std::byte{42};
    say("written");
    await_end();
}

}  // namespace

int main(int, char** argv) {
    ::sigset_t end;
    ::sigemptyset(&end);
    ::sigaddset(&end, SIGTERM);
    ::sigprocmask(SIG_BLOCK, &end, nullptr);
    const std::string what = argv[1], name = argv[2];
    try {
        if (what == "churn") return churn(name, 2 + static_cast<std::size_t>(std::atoi(argv[3])));
        use(what, name);
    } catch (const std::exception& error) {
        say(error.what());
        return 9;
    }
    return 0;
}
