// SPDX-License-Identifier: MIT
// What the objects that processes share say when they are misused or abandoned.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>

#include "support/family.hpp"

namespace multiprocessing_messages_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;

template <typename Use>
std::string told(Use use) {
    try {
        use();
    } catch (const muster::Error& error) {
        return error.what();
    }
    return "nothing";
}

/// The id of a process that died holding it.
template <typename AnyLock>
std::string abandon(const AnyLock& lock) {
    Copy copy([&] {
        lock.lock();
        (void)::raise(SIGKILL);
    });
    const std::string pid = std::to_string(copy.pid());
    REQUIRE(copy.join() == -SIGKILL);
    return pid;
}

}  // namespace

TEST_CASE("an abandoned lock says who had it, which one it is, and what to do") {
    const std::string advice =
        ", or the thread in it, has died, and what the lock guards may be half changed: call "
        "recover(), mend it, and unlock()";
    const mp::RLock lock;
    const std::string pid = abandon(lock);
    for (int i = 0; i < 2; ++i)
        CHECK(told([&] { lock.lock(); }) ==
              "muster: the process (pid " + pid + ") that held this lock" + advice);
    const std::string name = "messages-" + std::to_string(::getpid());
    const mp::Lock named(name);
    const std::string other = abandon(named);
    CHECK(told([&] { (void)named.try_lock(); }) ==
          "muster: the process (pid " + other + ") that held the lock '" + name + "'" + advice);
    named.recover();
    named.unlock();
    CHECK(told([&] { named.unlock(); }) ==
          "muster: unlock() of the lock '" + name +
              "' that the calling thread does not hold: lock() it in the same thread first");
}

TEST_CASE("a lock that a thread took along says that it was a thread, not its process that lives") {
    const std::string pid = std::to_string(::getpid());
    const mp::Lock lock;
    std::thread([&] { lock.lock(); }).join();
    CHECK(told([&] { lock.lock(); }) ==
          "muster: a thread of this process (pid " + pid +
              ") that held this lock has ended, and what the lock guards may be half changed: call "
              "recover(), mend it, and unlock()");
    Copy other([&] {
        const std::string words = told([&] { lock.lock(); });
        ::_exit(words.find("(pid " + pid +
                           ") that held this lock, or the thread in it, has died") != words.npos
                    ? 7
                    : 1);
    });
    CHECK(other.join() == 7);
}

TEST_CASE("a bounded semaphore that is released too often says what it has") {
    const mp::BoundedSemaphore semaphore(3);
    semaphore.acquire();
    CHECK(
        told([&] { semaphore.release(2); }) ==
        "muster: release(2) of a semaphore that has 2 permits of at most 3: release only what was "
        "acquired");
}

}  // namespace multiprocessing_messages_test
