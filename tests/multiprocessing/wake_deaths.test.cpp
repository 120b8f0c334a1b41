// SPDX-License-Identifier: MIT
// ctest: concurrency skip=thread
// ThreadSanitizer: processes go by single instructions, of which it adds many.
// Who is killed between a change and the wake-up of those who wait for it leaves that to others.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <signal.h>

#include <cstdint>
#include <mutex>

#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_wake_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::detail::Block;
using muster::detail::BlockKind;
using muster::detail::WaiterContent;
using muster::test::Copy;
using muster::test::falls_asleep;
using muster::test::family;
using muster::test::family_bytes;
using muster::test::patience;
using muster::test::step;

/// Kills a copy that does this, as soon as it is done. It gets ready for that first.
template <typename Ready, typename Action, typename Done>
void kill_when_done(Ready get_ready, Action action, Done done) {
    Copy copy([&] {
        get_ready();
        muster::test::wait_to_be_traced();
        action();
    });
    REQUIRE(muster::test::stops(copy));
    while (!done()) REQUIRE(step(copy));
    REQUIRE(copy.kill() == -SIGKILL);
}

/// Whether a thread has been notified of a condition, and has not gone on yet.
bool one_is_notified() {
    bool any = false;
    muster::detail::for_each_block(family(), [&](Block& block) {
        any |= block.owner.load() != 0 && block.block_kind() == BlockKind::waiter &&
               block.content<WaiterContent>().linked.load() == 0;
    });
    return any;
}

}  // namespace

TEST_CASE("who waits for a condition or an event goes on if who was to wake it died before that") {
    (void)family();
    const std::uint64_t before = family_bytes();
    {
        const mp::Lock lock;
        const mp::Condition changed;
        const mp::Event event;
        const mp::Semaphore on(0);
        // Without limit: whose time is up has another look.
        const Copy at_condition([&] {
            std::unique_lock held(lock);
            changed.wait(held);
            on.release();
        });
        const Copy at_event([&] {
            event.wait();
            on.release();
        });
        REQUIRE(falls_asleep(at_condition));
        REQUIRE(falls_asleep(at_event));
        // A copy of a process gets a hold on what it uses at the first use.
        kill_when_done([&] { changed.notify(0); }, [&] { changed.notify_one(); }, one_is_notified);
        CHECK(on.try_acquire_for(patience));
        const auto is_set = [&] { return event.is_set(); };
        kill_when_done(
            is_set, [&] { event.set(); }, is_set);
        CHECK(on.try_acquire_for(patience));
    }
    CHECK(family_bytes() == before);
}

}  // namespace multiprocessing_wake_deaths_test
