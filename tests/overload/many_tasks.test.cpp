// SPDX-License-Identifier: MIT
// ctest: start_methods skip=thread skip=address
// Sanitizers: what they keep of what was freed counts as growth.
// Many more tasks than a pool holds at a time: it makes their submitter wait, and grows no further.
// TEST_OVERLOAD_TASKS=10000000 in the environment is the full measure.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

#include "overload/scale.hpp"
#include "support/asleep.hpp"
#include "support/executors.hpp"

namespace overload_many_tasks_test {

namespace {

using muster::ThreadPoolExecutor;
using muster::test::patience;

constexpr std::size_t max_pending = 1'000;

// A pool that is well used has up to `max_pending` tasks, and the test twice as many futures, all
// smaller than 512 bytes: 1.5 MiB. Where in the allocator's memory they come to lie may change. One
// block for each task that were not given back, of the 32 bytes that the smallest one takes, would
// be 2.7 MiB in the 90,000 tasks that are measured at least.
constexpr std::size_t most_growth_kib = 2'048;

/// The memory that a process has, shared memory included.
std::size_t resident_kib(const std::string& process = "self") {
    std::ifstream status("/proc/" + process + "/status");
    for (std::string word; status >> word;)
        if (std::size_t kib = 0; word == "VmRSS:" && status >> kib) return kib;
    return 0;
}

std::size_t triple(std::size_t x) { return 3 * x; }

/// Submits tasks as fast as the pool takes them, and looks at each result.
template <typename Pool>
class Flood {
  public:
    explicit Flood(Pool& pool) : pool_{pool} {}

    /// Goes on until there were so many tasks.
    void continue_to(std::size_t count) {
        for (; submitted_ < count; ++submitted_) {
            Held& held = held_[submitted_ % held_.size()];
            check(held);
            held = {submitted_, pool_.submit(triple, submitted_)};
            if (submitted_ % 64 != 0) continue;
            // Exact enough, as none is accepted meanwhile: who has made room is counted as begun.
            const auto stats = pool_.stats();
            most_pending_ = std::max(most_pending_, stats.pending + stats.running);
        }
    }
    void finish() {
        for (Held& held : held_) check(held);
    }

    [[nodiscard]] std::size_t right() const { return right_; }
    [[nodiscard]] std::size_t most_pending() const { return most_pending_; }

  private:
    struct Held {
        std::size_t argument = 0;
        muster::Future<std::size_t> future = {};
    };

    void check(const Held& held) {
        if (held.future.valid() && held.future.result(patience) == 3 * held.argument) ++right_;
    }

    Pool& pool_;
    std::size_t submitted_ = 0;
    std::size_t right_ = 0;
    std::size_t most_pending_ = 0;
    // More than the pool accepts, so that it is the pool that the submitter waits for.
    std::vector<Held> held_{2 * max_pending};
};

}  // namespace

TEST_CASE_TEMPLATE("many more tasks than may be pending all have their result, in the same memory",
                   Pool, EVERY_POOL) {
    constexpr bool threads = std::is_same_v<Pool, ThreadPoolExecutor>;
    const std::size_t count =
        muster::test::scale("TEST_OVERLOAD_TASKS", threads ? 300'000 : 100'000);
    Pool pool({.max_workers = 2, .max_pending = max_pending});
    Flood<Pool> flood(pool);
    const auto begin = std::chrono::steady_clock::now();

    flood.continue_to(count / 10);
    const std::size_t before = resident_kib();
    flood.continue_to(count);
    const std::size_t after = resident_kib();
    flood.finish();
    pool.wait_idle();

    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    CAPTURE(count);
    CAPTURE(took.count());
    CAPTURE(before);
    CAPTURE(after);
    CHECK(flood.right() == count);
    CHECK(pool.stats().completed == count);
    CHECK(flood.most_pending() > 0);
    CHECK(flood.most_pending() <= max_pending);
    CHECK(before > 0);
    CHECK(after <= before + most_growth_kib);
}

}  // namespace overload_many_tasks_test
