// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Waiting for several connections and processes at once.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/asleep.hpp"
#include "support/process_pool.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_wait_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::falls_asleep;
using muster::test::open_descriptors;
using muster::test::patience;
using muster::test::ProcessPool;
using muster::test::TestedProcess;
using muster::threading::Thread;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE(
    "it returns those that have something to receive, or an end, in their order "
    "[test_neg_timeout]") {
    const std::array pipes{mp::Pipe(), mp::Pipe(), mp::Pipe()};
    std::vector<mp::Connection> ends;
    for (const auto& pipe : pipes) ends.push_back(pipe.second);
    CHECK(mp::wait(ends, 0s).empty());
    CHECK(mp::wait(ends, -1s).empty());
    pipes[2].first.send(2);
    pipes[0].first.send(0);
    CHECK(mp::wait(ends, patience) == std::vector{ends[0], ends[2]});
    CHECK(mp::wait(ends) == std::vector{ends[0], ends[2]});
    CHECK(ends[0].recv<int>() == 0);
    pipes[1].first.close();
    CHECK(mp::wait(ends) == std::vector{ends[1], ends[2]});
    CHECK(mp::wait({ends[0], ends[1]}) == std::vector{ends[1]});
    CHECK(mp::wait(std::vector<mp::Connection>()).empty());
}

TEST_CASE(
    "it waits no longer than it is told to, and no shorter without a reason [test_wait_timeout]") {
    const auto [a, b] = mp::Pipe();
    const auto begin = std::chrono::steady_clock::now();
    CHECK(mp::wait({b}, 30ms).empty());
    CHECK(std::chrono::steady_clock::now() - begin >= 30ms);
    std::thread sender([&a = a] { a.send(1); });
    CHECK(mp::wait({b}, patience).size() == 1);
    sender.join();
}

TEST_CASE("a process's sentinel and a connection stand in one list [test_wait_integer]") {
    const auto [ours, theirs] = mp::Pipe();
    const TestedProcess process([](mp::Connection its) { its.send(its.recv<int>() + 1); }, theirs);
    CHECK_THROWS_AS((void)mp::wait({mp::Waitable(process)}), muster::InvalidStateError);
    process.start();
    theirs.close();
    CHECK(mp::wait({mp::Waitable(ours), mp::Waitable(process)}, 0s).empty());
    ours.send(1);
    CHECK(mp::wait({ours, process}, patience)[0] == ours);
    CHECK(ours.recv<int>() == 2);
    CHECK(mp::wait({process.sentinel()}, patience) == std::vector{process.sentinel()});
    process.join();
    // Its end of the connection has ended with it.
    CHECK(mp::wait({ours, process}, patience) == std::vector<mp::Waitable>{ours, process});
}

TEST_CASE("a closed connection is refused, and other threads' waits do not disturb") {
    const auto [a, b] = mp::Pipe();
    std::vector<std::thread> waiters;
    for (int i = 0; i < 4; ++i)
        waiters.emplace_back([&b = b] { CHECK(mp::wait({b}, patience).size() == 1); });
    a.send(1);
    for (auto& waiter : waiters) waiter.join();
    b.close();
    CHECK_THROWS_AS((void)mp::wait({b}), muster::InvalidStateError);
}

TEST_CASE("a connection that another thread closes ends the wait for it") {
    const auto [a, b] = mp::Pipe();
    const int known = b.native_handle();
    CHECK(known >= 0);
    std::atomic<std::size_t> ready{0};
    const Thread waiter{[&, &b = b] { ready = mp::wait({b}).size(); }};
    waiter.start();
    REQUIRE(falls_asleep(waiter));
    CHECK(waiter.is_alive());
    b.close();
    REQUIRE(waiter.join_for(patience));
    CHECK(ready == 1);
}

TEST_CASE(
    "what there cannot be is refused, and so are more than the system allows "
    "[TestInvalidHandle.test_invalid_handles]") {
    CHECK_THROWS_AS((void)mp::wait({-1}), std::invalid_argument);
    ::rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const auto [a, b] = mp::Pipe();
    a.send(1);
    const std::vector<int> many(100, b.native_handle());
    const ::rlimit less{50, limit.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &less) == 0);
    CHECK_THROWS_AS((void)mp::wait(many), std::system_error);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(mp::wait(many).size() == many.size());
}

TEST_CASE(
    "one process collects from many, until each has ended, and keeps no descriptor [test_wait]") {
    constexpr int workers = 6, reports = 50;
    ProcessPool pool(workers);
    std::vector<std::set<int>> descriptors;
    for (int round = 0; round < 2; ++round) {  // In the first one workers start.
        {
            std::vector<mp::Connection> ends;
            std::vector<muster::Future<void>> tasks;
            for (int i = 0; i < workers; ++i) {
                auto [ours, theirs] = mp::Pipe();
                ends.push_back(ours);
                tasks.push_back(pool.submit(
                    [](mp::Connection its, int who) {
                        (void)its.recv<std::string>();
                        for (int report = 0; report < reports; ++report)
                            its.send(std::pair(who, report));
                    },
                    theirs, i));
            }
            for (const auto& end : ends) end.send("All of you run now.");
            std::map<int, int> seen;
            while (!ends.empty())
                for (const auto& end : mp::wait(ends)) {
                    try {
                        const auto [who, report] = end.recv<std::pair<int, int>>();
                        CHECK(report == seen[who]++);
                    } catch (const muster::EndOfFile&) {
                        ends.erase(std::find(ends.begin(), ends.end(), end));
                    }
                }
            for (const auto& task : tasks) task.result();
            CHECK(seen.size() == workers);
            for (const auto& [who, count] : seen) CHECK(count == reports);
        }
        descriptors.push_back(open_descriptors());
    }
    CHECK(descriptors[0] == descriptors[1]);
}

}  // namespace multiprocessing_wait_test
