// SPDX-License-Identifier: MIT
// ctest: concurrency
// What dead processes leave behind is seen to, at whichever instruction they died, and also if who
// sees to it dies, too.
#include <muster/detail/family/sweep.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <future>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <muster/detail/connection/pipe_channel.hpp>
#include <muster/detail/family/queue_item.hpp>
#include <muster/detail/family/shared_reference.hpp>

#include "support/family.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_sweep_test {

namespace {

using namespace muster::detail;
using namespace std::chrono_literals;
using muster::test::Copy;
using muster::test::family;
using muster::test::family_bytes;
using muster::test::kill_unseen;
using muster::test::release;
using muster::test::step;
using muster::test::stops;
using muster::test::wait_to_be_traced;
using Reference = std::shared_ptr<SharedReference>;

Block& object_of(const Reference& reference) { return family().block(reference->name().offset); }

/// The place of the next small block; and what is made of it, which lies behind that.
template <typename Make>
auto make_behind_next_item(Make make) {
    Block& next = allocate_block(family(), 8);
    std::vector<decltype(make())> others;
    for (;;) {
        auto made = make();
        if (family().offset_of(object_of(made.first)) > family().offset_of(next)) {
            free_block(family(), next);
            return made;
        }
        others.push_back(std::move(made));
    }
}

/// Ends a copy that holds the last reference while it drops that, at the moment at which it has the
/// item that it finds there.
void kill_while_it_drops(Reference reference, const Block& item) {
    Copy last_user([&] {
        (void)reference->own();
        wait_to_be_traced();
        reference.reset();
    });
    REQUIRE(stops(last_user));
    reference.reset();
    while (item.owner.load() == Block::shared) REQUIRE(step(last_user));
    REQUIRE(last_user.kill() == -SIGKILL);
}

/// A copy that waits for the condition.
Copy waiter_for(const Reference& condition) {
    Copy copy([&] {
        const ArenaOffset offset = family().offset_of(object_of(condition));
        (void)condition->own();
        auto& state = condition->object<SharedCondition>();
        Block& waiter = state.enter(family(), offset);
        (void)::raise(SIGSTOP);
        if (!state.wait(family(), waiter, deadline_after(200s))) ::_exit(1);
    });
    REQUIRE(stops(copy));
    return copy;
}

/// A copy that sees to what the dead process in `slot` has left, when it is let go on.
Copy make_sweeper(std::uint64_t slot) {
    Copy sweeper([slot] {
        (void)family().slot();  // It takes long to find one.
        wait_to_be_traced();
        sweep_process(family(), slot);
    });
    REQUIRE(stops(sweeper));
    return sweeper;
}

/// Where a copy that has one has its slot.
std::uint64_t slot_of(const Copy& copy) {
    std::uint64_t slot = 1;
    for (const auto& processes = family().header().processes;
         os::id_in(processes[slot].load()) != copy.pid(); ++slot)
        REQUIRE(slot + 1 < most_processes);
    return slot;
}

/// The only block of the process in `slot`.
Block& only_block_of(std::uint64_t slot) {
    std::vector<Block*> blocks;
    for_each_block(family(), [&](Block& block) {
        if (block.owner.load() == slot) blocks.push_back(&block);
    });
    REQUIRE(blocks.size() == 1);
    return *blocks.front();
}

Reference make_condition() {
    return SharedReference::make<SharedCondition>(BlockKind::condition, sizeof(SharedCondition));
}

}  // namespace

TEST_CASE("an item is given back once if its queue's last user was killed taking that apart") {
    (void)family();
    const std::uint64_t before = family_bytes();
    auto [queue, none] = make_behind_next_item([] {
        return std::pair(SharedReference::make<SharedQueue>(BlockKind::queue, sizeof(SharedQueue),
                                                            std::uint64_t{0}),
                         Reference());
    });
    ItemBuffer buffer(family(), 8);
    Block& item = buffer.finish_block();
    REQUIRE(&item < &object_of(queue));
    REQUIRE(queue->object<SharedQueue>().put(family(), buffer.finish(), std::nullopt));
    buffer.forget();

    kill_while_it_drops(std::move(queue), item);

    CHECK(family_bytes() == before);
}

TEST_CASE("a message is given back once if its pipe's last reader was killed taking that apart") {
    (void)family();
    const std::uint64_t before = family_bytes();
    {
        auto [reader, writer] = make_behind_next_item([] { return make_pipe_ends(); });
        ItemBuffer buffer(family(), 8);
        Block& message = buffer.finish_block();
        REQUIRE(&message < &object_of(reader));
        (void)writer->own();
        writer->object<SharedPipeEnd>().written(family()).put(family(), message, [] {});
        buffer.forget();

        kill_while_it_drops(std::move(reader), message);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("an action is given back once if its barrier's last user was killed taking that apart") {
    (void)family();
    const std::uint64_t before = family_bytes();
    auto [barrier, none] = make_behind_next_item([] {
        return std::pair(
            SharedReference::make<SharedBarrier>(BlockKind::barrier, sizeof(SharedBarrier), 1U),
            Reference());
    });
    {
        const Reference named = make_condition();  // What the action refers to.
        ItemBuffer buffer(family(), 8);
        buffer.kept.push_back(named);
        Block& action = buffer.finish_block();
        REQUIRE(&action < &object_of(barrier));
        barrier->object<SharedBarrier>().keep_action(family(), action);
        buffer.forget();
    }
    Block& action = family().block(barrier->object<SharedBarrier>().action_block.load());
    kill_while_it_drops(std::move(barrier), action);

    CHECK(family_bytes() == before);
}

TEST_CASE("a condition that only a dead waiter had is not used when it is given back") {
    (void)family();
    const std::uint64_t before = family_bytes();
    {
        Reference condition = make_condition();
        // The reference of the one that waits lies in front of the block in which it waits.
        std::pair<Block*, Block*> two{&allocate_block(family(), 0), &allocate_block(family(), 0)};
        if (two.first > two.second) std::swap(two.first, two.second);
        free_block(family(), *two.second);
        free_block(family(), *two.first);
        const Copy user = waiter_for(condition);
        const std::uint64_t slot = two.first->owner.load();
        Block& block = object_of(condition);
        condition.reset();
        REQUIRE(kill_unseen(user));

        // As soon as the condition's memory is free, it is used for something else.
        Copy sweeper = make_sweeper(slot);
        while (block.owner.load() != 0) REQUIRE(step(sweeper));
        auto allocated = std::async(
            std::launch::async, [] { return &allocate_block(family(), sizeof(SharedCondition)); });
        while (allocated.wait_for(20ms) != std::future_status::ready) REQUIRE(step(sweeper));
        REQUIRE(allocated.get() == &block);
        const std::span bytes(&block.content<std::byte>(), sizeof(SharedCondition));
        std::ranges::fill(bytes, std::byte{0});
        REQUIRE(release(sweeper));
        CHECK(sweeper.join() == 0);
        CHECK(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; }));
        free_block(family(), block);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("a dead waiter's notification goes to another one also if who hands it on dies, too") {
    (void)family();
    const std::uint64_t before = family_bytes();
    {
        const Reference condition = make_condition();
        (void)condition->own();
        auto& state = condition->object<SharedCondition>();
        const Copy first = waiter_for(condition);
        Block& place = family().block(state.head.load());
        auto& waiting = place.content<WaiterContent>();
        Copy second = waiter_for(condition);
        ::kill(second.pid(), SIGCONT);
        state.notify(family(), 1);
        REQUIRE(waiting.linked.load() == 0);
        REQUIRE(kill_unseen(first));

        Copy sweeper = make_sweeper(place.owner.load());
        while (waiting.condition.load() != 0) REQUIRE(step(sweeper));
        REQUIRE(sweeper.kill() == -SIGKILL);

        CHECK(second.join() == 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE(
    "a barrier breaks when who had it has died, and not when it has ended in order, wherever the "
    "sweep is broken off") {
    (void)family();
    const std::uint64_t before = family_bytes();
    {
        const Reference barrier =
            SharedReference::make<SharedBarrier>(BlockKind::barrier, sizeof(SharedBarrier), 2U);
        auto& state = barrier->object<SharedBarrier>();
        for (const bool in_order : {true, false}) {
            CAPTURE(in_order);
            bool over = false;
            for (int changes = 0; !over; ++changes) {
                CAPTURE(changes);
                const Copy user([&] {
                    (void)barrier->own();
                    if (in_order) family().end_in_order();
                    (void)::raise(SIGSTOP);
                });
                REQUIRE(stops(user));
                const std::uint64_t slot = slot_of(user);
                Block& reference = only_block_of(slot);
                REQUIRE(kill_unseen(user));

                Copy sweeper = make_sweeper(slot);
                const ArenaHeader& header = family().header();
                const auto progress = [&] {
                    return std::array{state.missing.load(), reference.target.load(),
                                      reference.owner.load(), header.in_order[slot].load(),
                                      header.processes[slot].load()};
                };
                for (int i = 0; i < changes; ++i)
                    for (const auto known = progress(); progress() == known;)
                        REQUIRE(step(sweeper));
                over = header.processes[slot].load() == 0;
                REQUIRE(sweeper.kill() == -SIGKILL);

                REQUIRE(state.broken() == !in_order);
                state.reset();
            }
        }
    }
    CHECK(family_bytes() == before);
}

}  // namespace multiprocessing_sweep_test
