// SPDX-License-Identifier: MIT
// ctest: concurrency
#include <muster/detail/os.hpp>

#include <doctest/doctest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <new>
#include <thread>
#include <utility>

#include <muster/detail/deadline.hpp>

#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/single_step.hpp"

namespace posix_robust_mutex_test {

using muster::detail::deadline_after;
using muster::test::Copy;
using muster::test::step;
using namespace std::chrono_literals;
namespace os = muster::detail::os;

namespace {

#ifdef TEST_SANITIZED
constexpr bool too_many_instructions = true;
#else
constexpr bool too_many_instructions = false;
#endif

/// A robust mutex of the C library, between processes.
class LibraryMutex {
  public:
    explicit LibraryMutex(int protocol) {
        ::pthread_mutexattr_t attributes;
        ::pthread_mutexattr_init(&attributes);
        ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        ::pthread_mutexattr_setprotocol(&attributes, protocol);
        if (::pthread_mutex_init(&mutex_, &attributes) != 0) throw std::bad_alloc();
        ::pthread_mutexattr_destroy(&attributes);
    }
    os::Locked lock() {
        const int error = ::pthread_mutex_lock(&mutex_);
        if (error == EOWNERDEAD) ::pthread_mutex_consistent(&mutex_);
        if (error == EOWNERDEAD) return os::Locked::after_death;
        return error == 0 ? os::Locked::yes : os::Locked::no;
    }
    bool unlock() { return ::pthread_mutex_unlock(&mutex_) == 0; }

  private:
    ::pthread_mutex_t mutex_;
};

struct Mutexes {
    os::RobustMutex first;
    os::RobustMutex second;
    LibraryMutex plain{PTHREAD_PRIO_NONE};
    LibraryMutex inheriting{PTHREAD_PRIO_INHERIT};
    std::atomic<bool> over{false};

    static constexpr std::size_t count = 4;
    os::Locked lock(std::size_t which) {
        switch (which) {
            case 0:
                return first.lock(deadline_after(20s));
            case 1:
                return second.lock(deadline_after(20s));
            case 2:
                return plain.lock();
            default:
                return inheriting.lock();
        }
    }
    bool unlock(std::size_t which) {
        switch (which) {
            case 0:
                return first.unlock();
            case 1:
                return second.unlock();
            case 2:
                return plain.unlock();
            default:
                return inheriting.unlock();
        }
    }
};

/// In memory that copies of this process share.
class Shared {
  public:
    Shared()
        : place_{::mmap(nullptr, sizeof(Mutexes), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0)} {
        if (place_ == MAP_FAILED) throw std::bad_alloc();
        new (place_) Mutexes;
    }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    ~Shared() { ::munmap(place_, sizeof(Mutexes)); }
    Mutexes* operator->() const { return static_cast<Mutexes*>(place_); }

  private:
    void* place_;
};

}  // namespace

TEST_CASE("a mutex tells who holds it") {
    const Shared shared;
    CHECK_FALSE(shared->first.held());
    CHECK_FALSE(shared->first.held_by_caller());
    CHECK(shared->first.lock() == os::Locked::yes);
    CHECK(shared->first.held());
    CHECK(shared->first.held_by_caller());
    CHECK(shared->first.lock() == os::Locked::by_caller);
    CHECK(shared->first.try_lock() == os::Locked::by_caller);
    std::thread([&] {
        CHECK(shared->first.held());
        CHECK_FALSE(shared->first.held_by_caller());
        CHECK(shared->first.try_lock() == os::Locked::no);
        CHECK(shared->first.lock(deadline_after(1ms)) == os::Locked::no);
        CHECK_FALSE(shared->first.unlock());
    }).join();
    CHECK(Copy([&] { ::_exit(shared->first.unlock() ? 1 : 7); }).join() == 7);
    CHECK(shared->first.unlock());
    CHECK_FALSE(shared->first.unlock());
    CHECK_FALSE(shared->first.held());
}

TEST_CASE("the end of a thread frees its mutexes and tells the next") {
    const Shared shared;
    std::thread([&] { (void)shared->first.lock(), (void)shared->second.lock(); }).join();
    CHECK_FALSE(shared->first.held());
    CHECK(shared->first.try_lock() == os::Locked::after_death);
    CHECK(shared->first.unlock());
    CHECK(shared->first.try_lock() == os::Locked::yes);
    CHECK(shared->second.lock() == os::Locked::after_death);
}

TEST_CASE("one who sleeps gets the mutex of one who dies") {
    const Shared shared;
    Copy holder([&] {
        (void)shared->first.lock();
        (void)shared->second.lock();
        for (;;) ::pause();
    });
    while (!shared->second.held()) std::this_thread::yield();
    std::atomic<long long> id{0};
    std::thread sleeper([&] {
        id = os::thread_id();
        CHECK(shared->first.lock() == os::Locked::after_death);
    });
    CHECK(muster::test::soon([&] { return id != 0 && muster::test::sleeps(id) != -1; }));
    CHECK(holder.kill() == -SIGKILL);
    sleeper.join();
}

TEST_CASE("mutexes go in any order beside the C library's, and all that are held are told") {
    std::array<std::size_t, Mutexes::count> locked{0, 1, 2, 3};
    do {
        std::array<std::size_t, Mutexes::count> unlocked{0, 1, 2, 3};
        do {
            const Shared shared;
            // Two freed: then every one has had each neighbour, and none.
            REQUIRE(Copy([&] {
                        bool all = true;
                        for (const std::size_t each : locked)
                            all = all && shared->lock(each) == os::Locked::yes;
                        for (std::size_t i = 0; i < 2; ++i)
                            all = all && shared->unlock(unlocked[i]);
                        ::_exit(all ? 7 : 1);
                    }).join() == 7);
            for (std::size_t i = 0; i < Mutexes::count; ++i) {
                const os::Locked expected = i < 2 ? os::Locked::yes : os::Locked::after_death;
                REQUIRE(shared->lock(unlocked[i]) == expected);
                REQUIRE(shared->unlock(unlocked[i]));
            }
        } while (std::next_permutation(unlocked.begin(), unlocked.end()));
    } while (std::next_permutation(locked.begin(), locked.end()));
}

TEST_CASE("whoever is killed, at whichever instruction, leaves a mutex that others get" *
          doctest::skip(too_many_instructions)) {
    const Shared shared;
    std::size_t deaths = 0;
    std::size_t instructions = 0;
    for (; !shared->over; ++instructions) {
        Copy user([&] {
            (void)shared->plain.lock();
            (void)shared->second.lock();
            (void)::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
            ::raise(SIGSTOP);
            (void)shared->first.lock();
            (void)shared->first.unlock();
            shared->over = true;
            for (;;) ::pause();
        });
        int status = 0;
        REQUIRE(::waitpid(user.pid(), &status, 0) == user.pid());
        REQUIRE(WIFSTOPPED(status));
        for (std::size_t i = 0; i < instructions; ++i) REQUIRE(step(user));
        REQUIRE(user.kill() == -SIGKILL);
        const os::Locked got = shared->first.lock(deadline_after(20s));
        REQUIRE((got == os::Locked::yes || got == os::Locked::after_death));
        deaths += got == os::Locked::after_death ? 1 : 0;
        REQUIRE(shared->first.unlock());
        for (const std::size_t held : {1U, 2U}) {
            REQUIRE(shared->lock(held) == os::Locked::after_death);
            REQUIRE(shared->unlock(held));
        }
    }
    CHECK(deaths > 10);
    CHECK(deaths < instructions);
}

}  // namespace posix_robust_mutex_test
