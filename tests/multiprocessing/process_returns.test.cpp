// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What a process has taken and leaves to others when it ends in order; and what is given back as it
// has died.
#include <muster/multiprocessing/barrier.hpp>
#include <muster/multiprocessing/event.hpp>
#include <muster/multiprocessing/process.hpp>
#include <muster/multiprocessing/queue.hpp>
#include <muster/multiprocessing/semaphore.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <optional>
#include <stdexcept>
#include <thread>

#include "support/family.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_process_returns_test {

namespace {

namespace mp = muster::multiprocessing;
using Process = muster::test::TestedProcess;
using muster::StartMethod;
using muster::test::exit_code_of;
using muster::test::family_bytes;
using muster::test::ProcessGate;
using muster::test::tested_start_method;
using namespace std::chrono_literals;

constexpr std::chrono::milliseconds patience{muster::test::patience_ms};

/// A handle that this process has to its end, whoever returns and whatever is destroyed.
template <typename Handle>
const Handle& keep(const Handle& handle) {
    static const Handle* kept = nullptr;
    kept = new Handle(handle);
    return *kept;
}

void acquire(const mp::Semaphore& permits) { permits.acquire(); }

void acquire_and_stay(const mp::Semaphore& permits, const ProcessGate& gate) {
    permits.acquire();
    gate.arrive_and_stay();
}

void acquire_bounded_and_stay(const mp::BoundedSemaphore& permits, const mp::Semaphore& held) {
    permits.acquire();
    held.release();
    (void)mp::Event().wait();
}

void get_and_stay(const mp::Queue<int>& queue, const ProcessGate& gate) {
    (void)queue.get();
    gate.arrive_and_stay();
}

enum class End { by_return, by_exit, by_exit_of_system, by_signal, by_exception };

void end(End how) {
    switch (how) {
        case End::by_return:
            return;
        case End::by_exit:
            std::exit(0);
        case End::by_exit_of_system:
            ::_exit(0);
        case End::by_signal:
            (void)::raise(SIGKILL);
            return;
        case End::by_exception:
            throw std::runtime_error("the process's only words");
    }
}

constexpr End deaths[] = {End::by_exit, End::by_exit_of_system, End::by_signal, End::by_exception};

/// Runs the process to its end, and has what it leaves behind seen to.
void run(const mp::Process& process) {
    process.start();
    process.join();
    muster::detail::sweep_dead_processes();
}

std::optional<mp::Barrier> inherited_barrier;
std::optional<mp::Semaphore> inherited_permit;

}  // namespace

TEST_CASE("a permit taken by one process and released by another comes back from who dies next") {
    const std::uint64_t before = family_bytes();
    {
        const mp::Semaphore permit(1);
        run(Process{acquire, permit});
        CHECK_FALSE(permit.try_acquire());
        permit.release();
        for (int i = 0; i < 2; ++i) {
            const ProcessGate gate;
            const Process holder({.daemon = true}, acquire_and_stay, permit, gate);
            holder.start();
            REQUIRE(gate.arrived());
            holder.kill();
            REQUIRE(permit.try_acquire_for(patience));
            permit.release();
        }
        CHECK(permit.try_acquire());
        CHECK_FALSE(permit.try_acquire());
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("a process that dies gives back no permit that another one has released for it") {
    const mp::Semaphore permits(2);
    const ProcessGate gate;
    const Process holder({.daemon = true}, acquire_and_stay, permits, gate);
    holder.start();
    REQUIRE(gate.arrived());
    permits.release();
    holder.kill();
    holder.join();
    muster::detail::sweep_dead_processes();
    CHECK(permits.try_acquire());
    CHECK(permits.try_acquire());
    CHECK_FALSE(permits.try_acquire());
}

TEST_CASE(
    "however many permits another process has released, those who die give back none of them") {
    constexpr std::uint64_t many = 12;
    const mp::BoundedSemaphore permits(many);
    const mp::Semaphore held(0);
    std::deque<Process> holders;
    for (std::uint64_t number = 0; number < many; ++number)
        holders
            .emplace_back(mp::ProcessOptions{.daemon = true}, acquire_bounded_and_stay, permits,
                          held)
            .start();
    for (std::uint64_t number = 0; number < many; ++number) REQUIRE(held.try_acquire_for(patience));
    permits.release(many);
    for (const Process& holder : holders) holder.kill();
    for (const Process& holder : holders) holder.join();
    muster::detail::sweep_dead_processes();
    for (std::uint64_t i = 0; i < many; ++i) CHECK(permits.try_acquire());
    CHECK_FALSE(permits.try_acquire());
}

TEST_CASE("an item that another process has called done is not called done when its taker dies") {
    const mp::Queue<int> queue;
    const ProcessGate gate;
    const Process taker({.daemon = true}, get_and_stay, queue, gate);
    queue.put(1);
    taker.start();
    REQUIRE(gate.arrived());
    queue.task_done();
    CHECK(queue.join_for(0s));
    queue.put(2);
    CHECK(queue.get() == 2);
    taker.kill();
    taker.join();
    muster::detail::sweep_dead_processes();
    CHECK_FALSE(queue.join_for(0s));  // It is in work.
    queue.task_done();
    CHECK(queue.join_for(0s));
}

TEST_CASE("an item called done before it is taken is not called done again when its taker dies") {
    const mp::Queue<int> queue;
    queue.put(1);
    queue.put(2);
    queue.task_done();
    const ProcessGate gate;
    const Process taker({.daemon = true}, get_and_stay, queue, gate);
    taker.start();
    REQUIRE(gate.arrived());
    CHECK(queue.get() == 2);
    taker.kill();
    taker.join();
    muster::detail::sweep_dead_processes();
    CHECK_FALSE(queue.join_for(0s));  // The other one is in work.
    queue.task_done();
    CHECK(queue.join_for(0s));
}

TEST_CASE("who returns leaves a barrier whole also if the process keeps it to its end") {
    const std::uint64_t before = family_bytes();
    {
        const mp::Barrier barrier(2);
        for (int round = 0; round < 3; ++round) {
            const Process process{[](const mp::Barrier& its) { (void)keep(its).wait(); }, barrier};
            process.start();
            REQUIRE(barrier.wait_for(patience));
            process.join();
            muster::detail::sweep_dead_processes();
            REQUIRE_FALSE(barrier.broken());
        }
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("who returns leaves what it has of its parent's objects as they are") {
    if (tested_start_method() != StartMethod::fork) return;  // Others have none of them.
    inherited_barrier.emplace(2);
    for (int round = 0; round < 3; ++round) {
        const Process process{[] { (void)inherited_barrier->wait(); }};
        process.start();
        REQUIRE(inherited_barrier->wait_for(patience));
        process.join();
        muster::detail::sweep_dead_processes();
        REQUIRE_FALSE(inherited_barrier->broken());
    }
    inherited_barrier.reset();

    inherited_permit.emplace(1);
    run(Process{[] { inherited_permit->acquire(); }});
    CHECK_FALSE(inherited_permit->try_acquire());
    inherited_permit->release();
    CHECK(inherited_permit->try_acquire());
    inherited_permit.reset();
}

TEST_CASE("who returns leaves the permits and items it has taken also if it keeps the handles") {
    const mp::Semaphore permit(1);
    run(Process{[](const mp::Semaphore& its) { keep(its).acquire(); }, permit});
    CHECK_FALSE(permit.try_acquire());
    permit.release();
    CHECK(permit.try_acquire());

    const mp::Queue<int> queue;
    queue.put(1);
    run(Process{[](const mp::Queue<int>& its) { (void)keep(its).get(); }, queue});
    CHECK_FALSE(queue.join_for(0s));
    queue.task_done();
    CHECK(queue.join_for(0s));
}

TEST_CASE("who ends otherwise has died: what it kept is given back, and barriers break") {
    for (const End how : deaths) {
        CAPTURE(static_cast<int>(how));
        const mp::Semaphore permit(1);
        const mp::Queue<int> queue;
        const mp::Barrier barrier(2);
        queue.put(1);
        run(Process{[](const mp::Semaphore& its_permit, const mp::Queue<int>& its_queue,
                       const mp::Barrier& its_barrier, End its_end) {
                        keep(its_permit).acquire();
                        (void)keep(its_queue).get();
                        (void)keep(its_barrier).parties();
                        end(its_end);
                    },
                    permit, queue, barrier, how});
        CHECK(permit.try_acquire());
        CHECK(queue.join_for(0s));
        CHECK(barrier.broken());
    }
}

TEST_CASE("who ends by an exception has died, although that lets go of the call's arguments") {
    const mp::Semaphore permit(1);
    const mp::Queue<int> queue;
    const mp::Barrier barrier(2);
    queue.put(1);
    run(Process{
        [](const mp::Semaphore& its_permit, const mp::Queue<int>& its_queue, const mp::Barrier&) {
            its_permit.acquire();
            (void)its_queue.get();
            end(End::by_exception);
        },
        permit, queue, barrier});
    CHECK(permit.try_acquire());
    CHECK(queue.join_for(0s));
    CHECK(barrier.broken());
}

namespace {

/// Cannot be read.
struct Unreadable {
    template <typename Archive>
    void serialize(Archive& /*ar*/) {
        if constexpr (Archive::is_loading::value) throw std::runtime_error("no");
    }
};

}  // namespace

TEST_CASE("who has died before it had its arguments has died for those that it had") {
    const mp::Barrier barrier(2);
    const Process process{[](const mp::Barrier&, const Unreadable&) {}, barrier, Unreadable()};
    try {
        run(process);
    } catch (const muster::WorkerCrashed&) {  // How soon it ends decides who is told.
    }
    muster::detail::sweep_dead_processes();
    CHECK(barrier.broken());
}

TEST_CASE("a barrier breaks when a process returns whose thread still waits there") {
    const mp::Barrier barrier(2);
    run(Process{[](const mp::Barrier& its) {
                    std::thread([&kept = keep(its)] { (void)kept.wait(); }).detach();
                    while (its.n_waiting() == 0) std::this_thread::yield();
                },
                barrier});
    CHECK(barrier.broken());
    CHECK_THROWS_AS((void)barrier.wait_for(patience), muster::BrokenBarrierError);
}

TEST_CASE("what a pool's worker keeps is let go of when the pool ends, and given back if it dies") {
    const mp::Barrier barrier(2);
    const mp::Semaphore permit(1);
    const auto use = [](const mp::Barrier& its_barrier, const mp::Semaphore& its_permit, End how) {
        (void)keep(its_barrier).parties();
        keep(its_permit).acquire();
        end(how);
    };
    {
        muster::test::ProcessPool pool(1);
        pool.submit(use, barrier, permit, End::by_return).result();
    }
    muster::detail::sweep_dead_processes();
    CHECK_FALSE(barrier.broken());
    CHECK_FALSE(permit.try_acquire());
    permit.release();
    {
        muster::test::ProcessPool pool(1);
        CHECK_THROWS_AS(pool.submit(use, barrier, permit, End::by_exit).result(),
                        muster::WorkerCrashed);
    }
    CHECK(barrier.broken());
    CHECK(permit.try_acquire_for(patience));
}

}  // namespace multiprocessing_process_returns_test
