// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods alone
// What processes leave behind that have primitives at namespace scope: their own, or those of what
// they are copies of. A program of its own, because all that is started has them.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <stdexcept>

#include "support/family.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_global_primitives_ends_test {

namespace {

namespace mp = muster::multiprocessing;
using Process = muster::test::TestedProcess;
using muster::test::exit_code_of;
using namespace std::chrono_literals;

struct Primitives {
    mp::Lock lock;
    mp::Semaphore permits;
    mp::Queue<int> queue;
    mp::Barrier barrier;
    ::pid_t maker;
};

const Primitives primitives{mp::Lock(), mp::Semaphore(2), mp::Queue<int>(), mp::Barrier(2),
                            ::getpid()};
/// Whoever makes them takes a permit.
const bool taken = primitives.permits.try_acquire();

/// Takes one of what there is, and has a part in the barrier.
void take() {
    (void)primitives.permits.try_acquire();
    primitives.queue.put(1);
    (void)primitives.queue.try_get();
    (void)primitives.barrier.parties();
}

}  // namespace

TEST_CASE("who ends in order leaves global primitives as they are, and so does the fork server") {
    REQUIRE(taken);
    std::optional<Primitives> left;
    {
        muster::test::ProcessPool pool(1);
        left = pool.submit([] {
                       take();
                       return primitives;
                   })
                   .result();
    }
    if (left->maker != ::getpid()) REQUIRE(muster::test::ends(left->maker));
    muster::detail::sweep_dead_processes();
    CHECK_FALSE(left->barrier.broken());
    CHECK_FALSE(left->permits.try_acquire());
    CHECK_FALSE(left->queue.join_for(0s));
    CHECK(left->lock.try_lock());

    left->lock.unlock();
    left->permits.release();
    left->queue.task_done();
}

TEST_CASE("what a process took of global primitives is given back if it ends by an exception") {
    const mp::Queue<Primitives> seen;
    CHECK(exit_code_of(Process{[](const mp::Queue<Primitives>& its) {
                                   its.put(primitives);
                                   primitives.lock.lock();
                                   take();
                                   throw std::runtime_error("the process's only words");
                               },
                               seen}) == 1);
    muster::detail::sweep_dead_processes();
    const std::optional<Primitives> left = seen.try_get();
    REQUIRE(left);
    CHECK(left->permits.try_acquire());
    CHECK(left->queue.join_for(0s));
    CHECK(left->barrier.broken());
    CHECK_THROWS_AS((void)left->lock.try_lock(), muster::AbandonedLock);

    left->permits.release();
    left->barrier.reset();
    left->lock.recover();
    left->lock.unlock();
}

}  // namespace multiprocessing_global_primitives_ends_test
