// SPDX-License-Identifier: MIT
// ctest: concurrency
// What only conditions between processes can get wrong; the rest is in tests/sync.
#include <muster/detail/family/shared_condition.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <future>
#include <optional>
#include <span>

#include <muster/detail/family/shared_reference.hpp>

#include "support/family.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_condition_test {

using namespace muster::detail;
using namespace std::chrono_literals;
using muster::test::Copy;
using muster::test::family_bytes;
using muster::test::release;
using muster::test::step;
using muster::test::stops;
using muster::test::wait_to_be_traced;

TEST_CASE("who notifies does not touch the memory of a waiter that has gone on") {
    const std::uint64_t before = family_bytes();
    {
        const auto object =
            SharedReference::make<SharedCondition>(BlockKind::condition, sizeof(SharedCondition));
        FamilyMemory& memory = object->memory();
        auto& condition = object->object<SharedCondition>();
        Block& waiter = condition.enter(memory, memory.offset_of(object->own()));
        Copy notifier([&] {
            wait_to_be_traced();
            condition.notify(memory, 1);
        });
        REQUIRE(stops(notifier));

        // Until the waiter has its notification, and further until it can go: from then on its
        // memory may be anybody's.
        while (waiter.content<WaiterContent>().linked.load() != 0) REQUIRE(step(notifier));
        auto waited = std::async(std::launch::async,
                                 [&] { return condition.wait(memory, waiter, std::nullopt); });
        while (waited.wait_for(20ms) != std::future_status::ready) REQUIRE(step(notifier));
        CHECK(waited.get());
        Block& other = allocate_block(memory, sizeof(WaiterContent));
        REQUIRE(&other == &waiter);
        const std::span bytes(reinterpret_cast<std::byte*>(&other.content<WaiterContent>()),
                              sizeof(WaiterContent));
        std::ranges::fill(bytes, std::byte{'a'});

        REQUIRE(release(notifier));
        CHECK(notifier.join() == 0);
        CHECK(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{'a'}; }));
        free_block(memory, other);
    }
    CHECK(family_bytes() == before);
}

}  // namespace multiprocessing_condition_test
