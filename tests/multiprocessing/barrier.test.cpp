// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Barriers with actions that have data, and what a broken barrier says.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/process_pool.hpp"
#include "support/single_step.hpp"

namespace multiprocessing_barrier_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::BrokenBarrierError;
using muster::test::Copy;
using muster::test::family_bytes;
using muster::test::patience;
using muster::test::ProcessPool;
using muster::test::soon;
using muster::test::stops;
using namespace std::chrono_literals;

struct Count {
    mp::Value<int> rounds;
    void operator()() const {
        rounds.update([](int& n) { ++n; });
    }
};

/// An action with a value of its own, which cannot be copied, and a result.
struct Say {
    mp::Queue<std::string> out;
    std::unique_ptr<std::string> word;
    int operator()() {
        out.put(*word);
        *word += " again";
        return 7;
    }
};

struct Refuse {
    std::string why;
    void operator()() const { throw std::out_of_range(why); }
};

int calls = 0;
void call() { ++calls; }
int call_for_number() { return ++calls; }

/// What `use` is told by a broken barrier.
template <typename Use>
std::string told(Use use) {
    try {
        (void)use();
    } catch (const BrokenBarrierError& error) {
        return error.what();
    }
    return "nothing";
}

bool says(const std::string& message, const std::string& words) {
    INFO(message);
    return message.find(words) != std::string::npos &&
           message.find("reset() makes it as new") != std::string::npos;
}

}  // namespace

TEST_CASE("an action with handles is called once a round, in whichever process comes last") {
    const mp::Value<int> rounds(0);
    const mp::Barrier barrier(3, Count{rounds});
    ProcessPool pool(2);
    const auto come = [](mp::Barrier its, int times) {
        for (int i = 0; i < times; ++i) its.wait();
        return times;
    };
    const auto one = pool.submit(come, barrier, 50);
    const auto other = pool.submit(come, barrier, 50);
    for (int round = 1; round <= 50; ++round) {
        barrier.wait();
        CHECK(rounds.get() == round);  // The next one needs this thread.
    }
    CHECK(one.result() + other.result() == 100);
    CHECK(rounds.get() == 50);
}

TEST_CASE("each call of an action is of a new copy, and what it returns is ignored") {
    const mp::Queue<std::string> out;
    const mp::Barrier barrier(1, Say{out, std::make_unique<std::string>("ready")});
    barrier.wait();
    Copy copy([&] { barrier.wait(); });
    CHECK(copy.join() == 0);
    CHECK(out.try_get() == "ready");
    CHECK(out.try_get() == "ready");
    CHECK(out.empty());
}

TEST_CASE(
    "a barrier keeps alive what its action refers to, and gives all back with its last user") {
    const std::uint64_t before = family_bytes();
    {
        ProcessPool pool(1);
        const auto barrier =
            pool.submit([] {
                    const mp::Queue<std::string> out;
                    out.put("first");
                    return mp::Barrier(1, Say{out, std::make_unique<std::string>("")});
                })
                .result();
        const mp::Queue<mp::Barrier> barriers;
        barriers.put(barrier);
        barrier.wait();
        barriers.get()->wait();
        CHECK(family_bytes() > before);
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("functions and lambdas may be actions, and an empty pointer is none") {
    calls = 0;
    static_assert(!std::is_constructible_v<mp::Barrier, int, int>);
    for (const mp::Barrier& barrier :
         {mp::Barrier(1, call), mp::Barrier(1, &call_for_number), mp::Barrier(1, [] { ++calls; }),
          mp::Barrier(1, static_cast<void (*)()>(nullptr))})
        barrier.wait();
    CHECK(calls == 3);
}

TEST_CASE("an action that throws breaks the barrier, and leaves the wait that called it") {
    const mp::Barrier barrier(1, Refuse{"no more"});
    CHECK_THROWS_WITH_AS(barrier.wait(), "no more", std::out_of_range);
    CHECK(barrier.broken());
    CHECK(says(told([&] { return barrier.wait(); }), "its action threw"));
    barrier.reset();
    CHECK_THROWS_WITH_AS(barrier.wait(), "no more", std::out_of_range);
}

TEST_CASE("a broken barrier names the process whose death broke it") {
    const mp::Barrier barrier(2);
    const mp::Event there;
    Copy copy([&] {
        (void)barrier.parties();  // A copy of a process gets a hold on it at its first use.
        there.set();
        for (;;) ::pause();
    });
    REQUIRE(there.wait_for(200s));
    const std::string pid = std::to_string(copy.pid());
    REQUIRE(copy.kill() == -SIGKILL);
    CHECK(says(told([&] { return barrier.wait(); }), "has died (pid " + pid + ")"));
    barrier.abort();  // What broke it first counts.
    CHECK(says(told([&] { return barrier.wait(); }), "has died (pid " + pid + ")"));
}

TEST_CASE("a reset does not hide from those who wait why the barrier was broken") {
    const mp::Barrier barrier(2);
    const mp::Queue<std::string> heard;
    Copy copy([&] { heard.put(told([&] { return barrier.wait(); })); });
    REQUIRE(soon([&] { return barrier.n_waiting() == 1; }));
    REQUIRE(::kill(copy.pid(), SIGSTOP) == 0);  // So that it cannot leave in between.
    REQUIRE(stops(copy));
    barrier.abort();
    barrier.reset();
    barrier.reset();
    REQUIRE(::kill(copy.pid(), SIGCONT) == 0);
    CHECK(says(heard.get_for(patience).value_or(""), "abort() was called"));
    CHECK(copy.join() == 0);
}

}  // namespace multiprocessing_barrier_test
