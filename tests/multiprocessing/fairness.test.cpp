// SPDX-License-Identifier: MIT
// ctest: concurrency
// Many more processes than cores want the same thing again and again, and all get it.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <numeric>
#include <system_error>
#include <thread>
#include <vector>

#include "support/asleep.hpp"
#include "support/family.hpp"

namespace multiprocessing_fairness_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::patience;
using muster::test::soon;
using namespace std::chrono_literals;

constexpr std::size_t processes = 24;
constexpr std::uint64_t few = 20;
// So many turns of all together, before each has had a few, are a starved one's: that is 250 times
// its share. The pause in each turn gives those who wait the time to wake up, on slow machines too.
constexpr std::uint64_t most = 250 * processes * few;
constexpr auto pause = 50us;

/// The turns that each of the processes has had.
class Turns {
  public:
    void add(std::size_t process) const { turns_[process] = turns_[process] + 1; }
    [[nodiscard]] std::uint64_t fewest() const {
        return *std::min_element(turns_.begin(), turns_.end());
    }
    [[nodiscard]] std::uint64_t all() const {
        return std::accumulate(turns_.begin(), turns_.end(), std::uint64_t{0});
    }
    /// Whether nothing more is to be learnt.
    [[nodiscard]] bool suffice() const { return fewest() >= few || all() >= most; }

  private:
    mp::SharedArray<std::uint64_t> turns_{processes};
};

/// For a copy: however many cores the machine has, all share two. With one each nobody would starve.
void share_two_cores() {
    ::cpu_set_t all;
    if (::sched_getaffinity(0, sizeof all, &all) != 0)
        throw std::system_error(errno, std::generic_category(), "sched_getaffinity");
    ::cpu_set_t two;
    CPU_ZERO(&two);
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&two) < 2; ++cpu)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &two);
    if (::sched_setaffinity(0, sizeof two, &two) != 0)
        throw std::system_error(errno, std::generic_category(), "sched_setaffinity");
}

/// Has that many processes take a turn again and again, which adds itself, until all have had some.
template <typename Take>
void check_all_get_turns(Take take) {
    const mp::Event over;
    const Turns turns;
    std::vector<Copy> copies;
    for (std::size_t i = 0; i < processes; ++i)
        copies.emplace_back([&, i] {
            share_two_cores();
            while (!over.is_set()) take([&] { turns.add(i); });
        });
    CHECK(soon([&] { return turns.suffice(); }));
    CHECK(turns.fewest() >= few);
    over.set();
    for (Copy& copy : copies) CHECK(copy.join() == 0);
}

}  // namespace

TEST_CASE("24 processes that want one lock all the time all get it") {
    const mp::Lock lock;
    check_all_get_turns([&](auto add) {
        const std::scoped_lock held(lock);
        add();
        std::this_thread::sleep_for(pause);
    });
}

TEST_CASE("24 processes that want one permit again and again all get it") {
    const mp::Semaphore permit(1);
    check_all_get_turns([&](auto add) {
        permit.acquire();
        add();
        std::this_thread::sleep_for(pause);
        permit.release();
        // Else it has it again before one that was woken runs: permits are not handed over.
        std::this_thread::sleep_for(processes * pause);
    });
}

TEST_CASE("24 processes that wait for a queue's items all get some") {
    const mp::Queue<int> queue(4);
    const Turns turns;
    std::vector<Copy> copies;
    for (std::size_t i = 0; i < processes; ++i)
        copies.emplace_back([&, i] {
            share_two_cores();
            while (queue.get()) turns.add(i);
        });
    std::uint64_t puts = 0;
    for (; !turns.suffice(); ++puts) {
        REQUIRE(queue.put_for(1, patience));
        std::this_thread::sleep_for(pause);
    }
    CHECK(turns.fewest() >= few);
    queue.shutdown();
    for (Copy& copy : copies) CHECK(copy.join() == 0);
    CHECK(turns.all() == puts);
}

}  // namespace multiprocessing_fairness_test
