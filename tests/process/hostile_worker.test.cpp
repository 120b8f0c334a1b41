// SPDX-License-Identifier: MIT
// ctest: alone concurrency start_methods
// Workers that write what no worker writes into the memory they share with their parent.
#include <muster/detail/process/code_address.hpp>
#include <muster/detail/process/worker_handle.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "support/no_engine.hpp"
#include "support/process_pool.hpp"

namespace {

/// The most bytes that this thread asked for at once.
thread_local std::size_t largest_request = 0;

}  // namespace

void* operator new(std::size_t size) {
    largest_request = std::max(largest_request, size);
    if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc();
}
// Not inlined: g++ takes free() for the wrong end of a new that it does not see through.
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace muster::detail;
using muster::test::NoEngine;
using muster::test::NoLauncher;
using namespace std::chrono_literals;
using ProcessPoolExecutor = muster::test::ProcessPool;

constexpr std::int64_t last_moment = std::numeric_limits<std::int64_t>::max();

/// A parent's end of a worker, and what the worker writes.
struct Worker {
    void publish(std::uint64_t bytes) { handle.page().published.store(bytes); }
    /// A header at a place of the ring.
    void write(std::size_t place, const ResultHeader& header) {
        std::memcpy(reinterpret_cast<std::byte*>(&handle.page()) + result_ring_offset + place,
                    &header, sizeof header);
    }
    /// Hands out a task with this time limit, which the worker begins at that moment.
    void begin_task(std::chrono::nanoseconds limit, std::int64_t moment) {
        auto task = Ref<RemoteTaskOf<void>>::adopt(
            new RemoteTaskOf<void>(engine, EncodedCall{}, false, true));
        task->timeout = limit;
        RemoteTask* const remote = task.get();
        TaskHandle handed{std::move(task), remote};
        REQUIRE(handle.hand_out(handed));
        handle.page().claims[0].store(claim_word(0, Claim::begun));
        handle.page().begun_ns.store(moment);
    }
    /// Whether its parent sees, in so many looks for a result, that the memory is overwritten.
    bool is_seen_through(int looks) {
        try {
            while (looks-- > 0) (void)handle.next_result();
        } catch (const CorruptWorker&) {
            return true;
        }
        return false;
    }

    NoEngine engine;
    PoolMemory memory;
    os::Bell bell;
    os::Bell leader_bell;
    NoLauncher launcher;
    WorkerHandle handle{memory, bell, leader_bell, launcher, 1};
};

/// What a header says of a result without bytes, whose task took no time.
ResultHeader empty_result() {
    ResultHeader header;
    header.kind = ResultHeader::Kind::value;
    return header;
}

/// A task that overwrites how much its worker has published.
int publish(std::int64_t more) {
    const WorkerLink& link = own_worker_link();
    link.page->published.fetch_add(static_cast<std::uint64_t>(more));
    for (const Inherited bell : {Inherited::bell, Inherited::leader_bell})
        os::Bell(os::Fd(::dup(link.fd(bell)))).ring();
    for (;;) ::pause();
}
int begin_after_the_end_of_time() {
    own_worker_page()->begun_ns.store(last_moment);
    for (;;) ::pause();
}
int add(int a, int b) { return a + b; }

}  // namespace

TEST_CASE("who takes back what its parent has read already is seen through") {
    Worker worker;
    const ResultHeader result = empty_result();
    worker.write(0, result);
    worker.write(sizeof result, result);
    worker.publish(2 * sizeof result);
    REQUIRE(worker.handle.next_result());
    REQUIRE(worker.handle.next_result());
    worker.publish(sizeof result);
    CHECK(worker.is_seen_through(1));
}

TEST_CASE("a ring of padding ends where it was published, and does not begin anew") {
    Worker worker;
    ResultHeader padding;
    padding.size = static_cast<std::uint32_t>(result_ring_bytes - sizeof padding);
    worker.write(0, padding);
    worker.publish(result_ring_bytes);
    CHECK_FALSE(worker.handle.next_result());
    worker.write(0, empty_result());
    worker.publish(0);
    CHECK(worker.is_seen_through(1));
}

TEST_CASE("who publishes more than the ring holds is seen through") {
    Worker worker;
    worker.publish(result_ring_bytes + 16);
    CHECK(worker.is_seen_through(1));
}

TEST_CASE("times that no task can have are seen through") {
    const auto seen_through = [](std::int64_t began, std::int64_t ended) {
        Worker worker;
        ResultHeader result = empty_result();
        result.began_ns = began;
        result.ended_ns = ended;
        worker.write(0, result);
        worker.publish(sizeof result);
        return worker.is_seen_through(1);
    };
    CHECK(seen_through(2, 1));
    CHECK(seen_through(-1, 1));
    CHECK(seen_through(-2, -1));
    CHECK(seen_through(last_moment, 0));
    CHECK(seen_through(0, std::numeric_limits<std::int64_t>::min()));
    CHECK_FALSE(seen_through(0, 0));
    CHECK_FALSE(seen_through(1, 2));
    CHECK_FALSE(seen_through(0, last_moment));
}

TEST_CASE("a task has begun between the clock's first moment and now, whatever its worker says") {
    for (const std::int64_t said : {std::numeric_limits<std::int64_t>::min(), std::int64_t{-1},
                                    std::int64_t{0}, last_moment}) {
        CAPTURE(said);
        Worker worker;
        worker.begin_task(1h, said);
        const Clock::time_point began = worker.handle.began();
        CHECK(began >= Clock::time_point());
        CHECK(began <= Clock::now());
        // So its limit is a moment that a clock can show.
        const Deadline limit = worker.handle.next_limit(Clock::now());
        REQUIRE(limit);
        CHECK(*limit >= Clock::time_point() + 1h);
        CHECK(*limit <= Clock::now() + 1h);
        worker.handle.take_rest([](const TaskHandle&) {});
    }
}

TEST_CASE("running times that add up to more than a clock can count wrap") {
    LedgerCell alone;
    LedgerCell shared;
    shared.shared = true;
    for (LedgerCell* const cell : {&alone, &shared}) {
        cell->add(cell->running_ns, last_moment);
        cell->add(cell->running_ns, last_moment);
        CHECK(cell->running_ns.load() == -2);
        cell->add(cell->running_ns, std::int64_t{2});
        CHECK(cell->running_ns.load() == 0);
    }
}

TEST_CASE("a module that the pool does not know is refused, and no room is made for it") {
    const PoolMemory memory;
    ModuleResolver modules(reinterpret_cast<const std::byte*>(&memory.page()));
    largest_request = 0;
    for (const std::uint64_t index : {0xffffU, 1U, 0U})
        CHECK_THROWS_WITH_AS((void)modules.decode(index << module_shift | 16),
                             "muster: a task names a module that its pool does not know",
                             muster::EntryGuardError);
    CHECK(largest_request < 4096);
}

TEST_CASE("a worker that overwrites the ring is killed, and the pool goes on") {
    ProcessPoolExecutor pool(1);
    REQUIRE(pool.submit(add, 1, 2).result() == 3);  // What could be taken back.
    for (const std::int64_t more : {std::int64_t{result_ring_bytes} + 16, std::int64_t{-16}}) {
        CAPTURE(more);
        auto overwritten = pool.submit(publish, more);
        auto behind = pool.submit(add, 2, 3);
        REQUIRE(overwritten.wait_for(200s));
        try {
            (void)overwritten.result();
            FAIL("the future has a result");
        } catch (const muster::WorkerCrashed& crash) {
            const std::string words = crash.what();
            CHECK_MESSAGE(words.find("had overwritten the memory") != words.npos, words);
        }
        REQUIRE(behind.wait_for(200s));
        CHECK(behind.result() == 5);
    }
}

TEST_CASE("a worker that says its task began after the end of time is killed at the task's limit") {
    ProcessPoolExecutor pool(1);
    auto late = pool.submit({.timeout = 50ms}, begin_after_the_end_of_time);
    auto behind = pool.submit(add, 2, 3);
    REQUIRE(late.wait_for(200s));
    CHECK_THROWS_AS((void)late.result(), muster::TaskTimeout);
    REQUIRE(behind.wait_for(200s));
    CHECK(behind.result() == 5);
}
