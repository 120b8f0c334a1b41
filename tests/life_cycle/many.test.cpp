// SPDX-License-Identifier: MIT
// ctest: start_methods skip=thread skip=address
// Sanitizers: what they keep for each thread, and of what was freed, counts as growth.
// Many pools one after the other, and pools of many workers: nothing grows, nothing stays.
// TEST_LIFE_CYCLE_POOLS=10000 in the environment is the full measure also for those of processes.
#include <muster/multiprocessing/event.hpp>
#include <muster/multiprocessing/semaphore.hpp>
#include <muster/thread_pool_executor.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "overload/scale.hpp"
#include "posix/descriptors.hpp"
#include "support/asleep.hpp"
#include "support/executors.hpp"
#include "support/program.hpp"

namespace life_cycle_many_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::ThreadPoolExecutor;
using muster::test::patience;
using muster::test::ProcessPool;
using muster::test::soon;

/// What this process has of the system.
struct Belongings {
    std::set<int> descriptors = muster::test::open_descriptors();
    std::size_t children = muster::test::children_of().size();
    std::size_t mappings = 0;
    std::size_t resident_kib = 0;
    std::size_t threads = 0;

    Belongings() {
        std::ifstream maps("/proc/self/maps");
        for (std::string line; std::getline(maps, line);) ++mappings;
        std::ifstream status("/proc/self/status");
        for (std::string word; status >> word;) {
            if (word == "VmRSS:") status >> resident_kib;
            if (word == "Threads:") status >> threads;
        }
    }
};

/// Whether it is no more than it was; threads that have been joined may be listed a little longer.
void check_nothing_grew(const Belongings& before) {
    CHECK(soon([&] { return Belongings().threads <= before.threads; }));
    const Belongings now;
    CHECK(now.descriptors == before.descriptors);
    CHECK(now.children == before.children);
    CHECK(now.mappings <= before.mappings + 5);  // The allocator has its own.
    CHECK(now.resident_kib <= before.resident_kib + 4096);
}

template <typename Pool>
void use_pools(int count) {
    for (int i = 0; i < count; ++i) {
        auto pool = std::make_unique<Pool>(2);
        auto one = pool->submit([](int x) { return x; }, i);
        auto other = pool->submit([](int x) { return -x; }, i);
        if (i % 2 == 0) pool.reset();
        CHECK(one.result() + other.result() == 0);
    }
}

/// Raises the soft limit of descriptors to what the system allows, for a while.
class ManyDescriptors {
  public:
    ManyDescriptors() {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const ::rlimit most{before_.rlim_max, before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &most);
    }
    ManyDescriptors(const ManyDescriptors&) = delete;
    ManyDescriptors& operator=(const ManyDescriptors&) = delete;
    ~ManyDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

    [[nodiscard]] ::rlim_t most() const { return before_.rlim_max; }

  private:
    ::rlimit before_{};
};

}  // namespace

TEST_CASE_TEMPLATE("pools made and destroyed by the thousand cost nothing that stays", Pool,
                   EVERY_POOL) {
    constexpr bool threads = std::is_same_v<Pool, ThreadPoolExecutor>;
    const auto count =
        static_cast<int>(muster::test::scale("TEST_LIFE_CYCLE_POOLS", threads ? 10'000 : 200));
    use_pools<Pool>(count / 10);  // What is made once, and the allocator's stock, is made now.
    const Belongings before;
    use_pools<Pool>(count);
    check_nothing_grew(before);
}

TEST_CASE_TEMPLATE("a thousand workers run a thousand tasks at the same time", Pool, EVERY_POOL) {
    constexpr int count = 1'000;
    const ManyDescriptors limit;
    if (limit.most() < 8 * count) {
        MESSAGE("this system allows " << limit.most() << " descriptors, too few for the workers");
        return;
    }
    {
        Pool first(1);
        first.submit([] {}).result();
    }
    const mp::Semaphore arrivals(0);
    const mp::Event opening;
    const Belongings before;
    {
        Pool pool(count);
        std::vector<muster::Future<void>> tasks;
        for (int i = 0; i < count; ++i)
            tasks.push_back(pool.submit(
                [](mp::Semaphore its_arrivals, mp::Event its_opening) {
                    its_arrivals.release();
                    its_opening.wait();
                },
                arrivals, opening));
        int arrived = 0;
        while (arrived < count && arrivals.try_acquire_for(patience)) ++arrived;
        CHECK(arrived == count);
        opening.set();
        for (const auto& task : tasks) REQUIRE(task.wait_for(patience));
    }
    CHECK(soon([&] { return Belongings().threads <= before.threads; }));
    CHECK(Belongings().descriptors == before.descriptors);
    CHECK(Belongings().children == before.children);
}

}  // namespace life_cycle_many_test
