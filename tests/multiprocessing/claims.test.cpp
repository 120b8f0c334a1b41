// SPDX-License-Identifier: MIT
// ctest: concurrency skip=thread
// ThreadSanitizer: processes go by single instructions, of which it adds many.
// Whose permits are given back by who releases for others.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_claims_test {

namespace {

using namespace muster::detail;
using muster::test::Copy;
using muster::test::family;
using muster::test::family_bytes;
using muster::test::sleeps;
using muster::test::soon;
using muster::test::step;
using muster::test::stops;

using Reference = std::shared_ptr<SharedReference>;

Reference make_semaphore() {
    return SharedReference::make<SharedSemaphore>(BlockKind::semaphore, sizeof(SharedSemaphore), 2U,
                                                  false);
}
void acquire(const Reference& semaphore) {
    (void)semaphore->object<SharedSemaphore>().acquire(semaphore->own(), std::nullopt);
}
void release(const Reference& semaphore) {
    semaphore->object<SharedSemaphore>().release(family(), semaphore->own(), 1);
}
std::uint64_t permits(const Reference& semaphore) {
    return semaphore->object<SharedSemaphore>().value.load();
}

/// Lets a stopped copy go on until it stops again, or sleeps. Whether it has stopped.
bool goes_on(const Copy& copy) {
    REQUIRE(::kill(copy.pid(), SIGCONT) == 0);
    bool stopped = false;
    REQUIRE(soon([&] {
        int status = 0;
        stopped =
            ::waitpid(copy.pid(), &status, WUNTRACED | WNOHANG) == copy.pid() && WIFSTOPPED(status);
        return stopped || sleeps(copy.pid()) != -1;
    }));
    return stopped;
}

}  // namespace

TEST_CASE("who releases for others takes nothing from a reference that has become another's") {
    (void)family();
    const std::uint64_t before = family_bytes();
    {
        const Reference one = make_semaphore(), other = make_semaphore();
        // The releaser is held up after so many instructions.
        bool over = false;
        for (std::size_t steps = 0; !over; steps += 16) {
            CAPTURE(steps);
            const Copy holder([&] {
                acquire(one);
                (void)::raise(SIGSTOP);
            });
            REQUIRE(stops(holder));
            // Lets go of one semaphore, and with the same block takes a permit of the other.
            Copy changer([&] {
                acquire(one);
                release(one);
                Block& reference = one->own();
                forget_claim(family(), reference);
                (void)::raise(SIGSTOP);
                drop_reference(family(), reference);
                acquire(other);
                (void)::raise(SIGSTOP);
            });
            REQUIRE(stops(changer));
            const Copy releaser([&] {
                (void)one->own();
                muster::test::wait_to_be_traced();
                release(one);
                (void)::raise(SIGSTOP);
            });
            REQUIRE(stops(releaser));
            over = !step(releaser, steps);
            const bool changed = goes_on(changer);
            if (!over) {
                REQUIRE(muster::test::release(releaser));
                REQUIRE(stops(releaser));
            }
            if (!changed) REQUIRE(stops(changer));  // It waited for the releaser.
            REQUIRE(permits(other) == 1);
            REQUIRE(changer.kill() == -SIGKILL);
            REQUIRE(permits(other) == 2);
            REQUIRE(permits(one) == 2);
        }
    }
    CHECK(family_bytes() == before);
}

}  // namespace multiprocessing_claims_test
