// SPDX-License-Identifier: MIT
// ctest: concurrency
#include <muster/detail/os.hpp>

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <new>
#include <optional>
#include <random>
#include <thread>

#include <muster/detail/deadline.hpp>

#include "support/family.hpp"

namespace posix_robust_mutex_deaths_test {

using muster::detail::deadline_after;
using muster::test::Copy;
using namespace std::chrono_literals;
namespace os = muster::detail::os;

TEST_CASE("whoever of those who wait for a mutex is killed, the others get it") {
    struct Shared {
        os::RobustMutex mutex;
        std::atomic<int> locked{0};
    };
    void* const place =
        ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(place != MAP_FAILED);
    auto& shared = *new (place) Shared;
    const auto use = [&](const muster::detail::Deadline& deadline) {
        if (shared.mutex.lock(deadline) == os::Locked::no) return false;
        ++shared.locked;
        return shared.mutex.unlock();
    };

    std::mt19937 generator(20260101);
    const auto some_time = [&](int most_us) {
        return std::chrono::microseconds(std::uniform_int_distribution(0, most_us)(generator));
    };
    for (int round = 0; round < 400; ++round) {
        std::array<Copy, 4> users;
        for (Copy& user : users)
            user = Copy([&] {
                while (use(std::nullopt)) continue;
            });
        std::this_thread::sleep_for(some_time(2'000));
        std::atomic<bool> all_gone{false};
        std::jthread killer([&] {
            for (Copy& user : users) {
                std::this_thread::sleep_for(some_time(1'500));
                (void)user.kill();
            }
            all_gone = true;
        });
        while (!all_gone) REQUIRE(use(deadline_after(20s)));
    }
    CHECK(shared.locked > 0);
    ::munmap(place, sizeof(Shared));
}

}  // namespace posix_robust_mutex_deaths_test
