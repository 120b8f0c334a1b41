// SPDX-License-Identifier: MIT
// ctest: concurrency skip=thread
// ThreadSanitizer: it finds nothing, but takes many minutes, because processes go by single
// instructions, of which it adds many.
// Whoever dies at a queue, at whichever instruction, the others go on as if it had put, or taken, its
// item or not.
#include <muster/multiprocessing.hpp>
#include <muster/threading.hpp>

#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_queue_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
using namespace std::chrono_literals;
using muster::detail::Block;
using muster::detail::BlockKind;
using muster::test::changing_steps;
using muster::test::Copy;
using muster::test::falls_asleep;
using muster::test::family;
using muster::test::family_bytes;
using muster::test::kill_unseen;
using muster::test::patience;
using muster::test::step;
using muster::test::stops;
using muster::test::wait_to_be_traced;
using Strings = mp::Queue<std::string>;
using Items = std::vector<std::string>;

/// Items that are told apart, of so many characters.
std::string item(std::size_t number, std::size_t size) {
    return std::to_string(1000 + number) + std::string(size - 4, 'x');
}

/// So many items of a new queue, the next of which needs another segment instead of a whole one.
std::size_t items_before_segment(std::size_t size) {
    const Strings queue;
    std::size_t count = 0;
    for (int segments = 0; segments < 2; ++count) {
        const std::uint64_t before = family_bytes();
        queue.put(item(count, size));
        if (family_bytes() != before) ++segments;
    }
    return count - 1;
}

/// An item at which somebody dies.
struct Fatal {
    std::string name;
    std::size_t size = 0;
    std::size_t before = 0;  ///< So many are put before.

    [[nodiscard]] Items items(std::size_t first, std::size_t end) const {
        Items all;
        for (std::size_t i = first; i < end; ++i) all.push_back(item(i, size));
        return all;
    }
};

std::vector<Fatal> kinds() {
    return {{"in a record", 20, 1},
            {"in a block", 300, 1},
            {"in a new segment", 200, items_before_segment(200)}};
}

void put(const Strings& queue, const Items& items) {
    for (const std::string& each : items) REQUIRE(queue.put_for(each, patience));
}

Items take_all(const Strings& queue) {
    Items all;
    while (auto next = queue.try_get()) {
        all.push_back(std::move(*next));
        queue.task_done();
    }
    return all;
}

/// A copy that waits to be traced before and after what it does to the queue.
template <typename Action>
Copy traced(const Strings& queue, Action action) {
    Copy copy([&] {
        (void)queue.size();  // A copy of a process gets a hold on it at its first use.
        wait_to_be_traced();
        action(queue);
        (void)::raise(SIGSTOP);
    });
    REQUIRE(stops(copy));
    return copy;
}

/// Has copies do something to queues that are made alike. Hands one over before it has changed what
/// the family shares, one just after its first change, and so on: who is killed between two changes
/// leaves the same as who is killed at the first of them.
template <typename Make, typename Action, typename Use>
void at_every_change(Make make, Action action, Use use) {
    // Twice: who comes first finds other memory than those that use what it gave back.
    (void)changing_steps(traced(make(), action));
    const std::vector<std::size_t> changes = changing_steps(traced(make(), action));
    REQUIRE(changes.size() >= 8);
    // All of them, unless the program was not optimized, and takes too many instructions.
    const std::size_t steps = std::accumulate(changes.begin(), changes.end(), std::size_t{0});
    const std::size_t stride = std::min(1 + steps / 60'000, changes.size() / 8);
    for (std::size_t left = changes.size(); left > 0; left -= std::min(left, stride)) {
        const std::uint64_t before = family_bytes();
        {
            const Strings queue = make();
            Copy victim = traced(queue, action);
            REQUIRE(step(victim, changes[left - 1]));
            use(queue, victim);
        }
        REQUIRE(family_bytes() == before);
    }
}

/// Whether a process other than this one has blocks that are no references.
bool others_own_blocks() {
    bool any = false;
    muster::detail::for_each_block(family(), [&](Block& block) {
        const std::uint64_t owner = block.owner.load();
        any |= owner != 0 && owner != Block::shared && owner != family().slot() &&
               block.block_kind() != BlockKind::reference;
    });
    return any;
}

}  // namespace

TEST_CASE("a producer killed at any instruction has put its item wholly or not at all") {
    const std::uint64_t before = family_bytes();
    for (const Fatal& kind : kinds()) {
        CAPTURE(kind.name);
        std::array<int, 2> times{};  // Without its item, with it.
        const auto make = [&] {
            Strings queue;
            put(queue, kind.items(0, kind.before));
            return queue;
        };
        const auto act = [&](const Strings& queue) { queue.put(item(kind.before, kind.size)); };
        at_every_change(make, act, [&](const Strings& queue, Copy& victim) {
            const bool counted = queue.size() > kind.before;
            // What it holds is its own as soon as others see it.
            if (counted) CHECK_FALSE(others_own_blocks());
            REQUIRE(victim.kill() == -SIGKILL);

            const Items taken = take_all(queue);
            const std::size_t there = taken.size() - kind.before;
            CHECK(taken == kind.items(0, taken.size()));
            REQUIRE((there == 0 || there == 1));
            CHECK((!counted || there == 1));
            ++times[there];

            put(queue, kind.items(100, 200));
            CHECK(take_all(queue) == kind.items(100, 200));
            CHECK(queue.join_for(0s));
        });
        CHECK(times[0] > 0);
        CHECK(times[1] > 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("a consumer killed at any instruction takes at most its own item along") {
    const std::uint64_t before = family_bytes();
    for (const Fatal& kind : kinds()) {
        CAPTURE(kind.name);
        const std::size_t own = kind.before, end = own + 3;
        std::array<int, 2> times{};  // Its item is left, or lost.
        const auto make = [&] {
            Strings queue;
            put(queue, kind.items(0, end));
            for (std::size_t i = 0; i < own; ++i) {
                REQUIRE(queue.try_get() == item(i, kind.size));
                queue.task_done();
            }
            return queue;
        };
        const auto act = [](const Strings& queue) { (void)queue.get(); };
        at_every_change(make, act, [&](const Strings& queue, Copy& victim) {
            const bool counted = queue.size() < end - own;
            REQUIRE(victim.kill() == -SIGKILL);

            const Items left = take_all(queue);
            const std::size_t lost = end - own - left.size();
            CHECK(left == kind.items(own + lost, end));
            REQUIRE((lost == 0 || lost == 1));
            CHECK((!counted || lost == 1));
            ++times[lost];

            put(queue, kind.items(100, 200));
            CHECK(take_all(queue) == kind.items(100, 200));
            CHECK(queue.join_for(0s));
        });
        CHECK(times[0] > 0);
        CHECK(times[1] > 0);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("what was taken from a queue never becomes its own again, whoever died putting it") {
    constexpr std::size_t size = 300;
    int counted = 0;
    const auto act = [](const Strings& queue) { queue.put(item(0, size)); };
    at_every_change(
        [] { return Strings(); }, act,
        [&](const Strings& queue, Copy& victim) {
            if (queue.empty()) return;
            ++counted;
            Block* its = nullptr;
            muster::detail::for_each_block(family(), [&](Block& block) {
                if (block.owner.load() == Block::shared && block.block_kind() == BlockKind::item)
                    its = &block;
            });
            REQUIRE(its);
            // Nobody gives back yet what it had, and what it had written down.
            REQUIRE(kill_unseen(victim));

            CHECK(queue.try_get() == item(0, size));
            const std::size_t bytes = muster::detail::block_bytes(its->size_class.load());
            Block& reused = muster::detail::allocate_block(family(), bytes - sizeof(Block));
            REQUIRE(&reused == its);
            CHECK(queue.try_put(item(1, size)));

            CHECK(reused.owner.load() == family().slot());
            muster::detail::free_block(family(), reused);
            CHECK(take_all(queue) == Items{item(1, size)});
        });
    CHECK(counted > 0);
}

// Without limits: whose time is up has another look.
TEST_CASE("who sleeps at a queue goes on if who was to wake it died before that") {
    const std::uint64_t before = family_bytes();
    {
        const Strings queue(1);
        std::optional<std::string> got;
        muster::threading::Thread consumer([&got, queue] { got = queue.get(); });
        consumer.start();
        REQUIRE(falls_asleep(consumer));
        Copy producer = traced(queue, [](const Strings& its) { its.put("first"); });
        while (queue.empty()) REQUIRE(step(producer));
        REQUIRE(producer.kill() == -SIGKILL);
        const bool woken = consumer.join_for(patience);
        if (!woken) queue.shutdown();
        CHECK(woken);
        CHECK(got == "first");
    }
    {
        const Strings queue(1);
        queue.put("first");
        muster::threading::Thread producer([queue] { queue.put("second"); });
        producer.start();
        REQUIRE(falls_asleep(producer));
        Copy consumer = traced(queue, [](const Strings& its) { (void)its.get(); });
        while (queue.full()) REQUIRE(step(consumer));
        REQUIRE(consumer.kill() == -SIGKILL);
        const bool woken = producer.join_for(patience);
        if (!woken) queue.shutdown();
        CHECK(woken);
        CHECK(queue.try_get() == "second");
    }
    CHECK(family_bytes() == before);
}

}  // namespace multiprocessing_queue_deaths_test
