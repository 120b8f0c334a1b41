// SPDX-License-Identifier: MIT
// ctest: start_methods
// Many threads that use one pool at the same time. TEST_OVERLOAD_CLIENTS in the environment says how
// many.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "overload/scale.hpp"
#include "support/asleep.hpp"
#include "support/event.hpp"
#include "support/executors.hpp"
#include "support/task_gate.hpp"

namespace overload_many_clients_test {

namespace {

using muster::test::Event;
using muster::test::patience;
using muster::test::soon;
using muster::test::TaskGate;

constexpr std::size_t tasks_each = 5;

std::size_t count_of_clients() { return muster::test::scale("TEST_OVERLOAD_CLIENTS", 1'000); }

std::size_t square(std::size_t x) { return x * x; }

/// What one client does: it has some tasks in the pool at once, then waits for each. True if it gets
/// the results of its own.
template <typename Pool>
bool is_served(Pool& pool, std::size_t client) {
    std::vector<muster::Future<std::size_t>> tasks;
    for (std::size_t i = 0; i < tasks_each; ++i)
        tasks.push_back(pool.submit(square, client * tasks_each + i));
    for (std::size_t i = 0; i < tasks_each; ++i) {
        const std::size_t argument = client * tasks_each + i;
        if (!tasks[i].wait_for(patience) || tasks[i].result() != argument * argument) return false;
    }
    return true;
}

/// Threads that do the same, none before all are there: `action(client, count)`. As many as the
/// system allows.
class Clients {
  public:
    template <typename Action>
    Clients(std::size_t count, Action action) : served_(count) {
        threads_.reserve(count);
        try {
            for (std::size_t client = 0; client < count; ++client)
                threads_.emplace_back([this, client, action, opening = opening_] {
                    opening.wait();
                    served_[client] = action(client, threads_.size()) ? 1 : 0;
                    sleeps_ += sleeps_of_this_thread();
                });
        } catch (const std::system_error& refused) {
            MESSAGE("this system allows " << threads_.size()
                                          << " threads: " << std::string(refused.what()));
        }
        opening_.set();
        for (auto& thread : threads_) thread.join();
    }

    [[nodiscard]] std::size_t count() const { return threads_.size(); }
    [[nodiscard]] std::size_t served() const {
        return static_cast<std::size_t>(std::count(served_.begin(), served_.end(), 1));
    }

    /// How often they went to sleep, all together.
    [[nodiscard]] std::size_t sleeps() const { return sleeps_; }

  private:
    static std::size_t sleeps_of_this_thread() {
        ::rusage usage{};
        ::getrusage(RUSAGE_THREAD, &usage);
        return static_cast<std::size_t>(usage.ru_nvcsw);
    }

    Event opening_;
    std::vector<char> served_;
    std::atomic<std::size_t> sleeps_{0};
    std::vector<std::thread> threads_;
};

void check_all_served(auto& pool) {
    REQUIRE(is_served(pool, 0));  // Where threads are few, the pool has its own before the clients.
    const Clients clients(count_of_clients(), [&pool](std::size_t client, std::size_t /*count*/) {
        return is_served(pool, client);
    });

    CHECK(clients.count() > 0);
    CHECK(clients.served() == clients.count());
    // For room, for a result, and again where another was faster; but not each time that any other
    // is served.
    CHECK(clients.sleeps() <= 10 * clients.count() * tasks_each);
    CHECK(pool.wait_idle_for(patience));
    CHECK(pool.stats().completed == (1 + clients.count()) * tasks_each);
    CHECK(pool.stats().pending + pool.stats().running + pool.stats().failed == 0);
}

}  // namespace

TEST_CASE_TEMPLATE("a thousand threads share a pool, and each gets the results of its own", Pool,
                   EVERY_POOL) {
    Pool pool(2);
    check_all_served(pool);
}

TEST_CASE_TEMPLATE("a thousand threads that wait for room in a pool all come to their turn", Pool,
                   EVERY_POOL) {
    Pool pool({.max_workers = 2, .max_pending = 10});
    check_all_served(pool);
}

TEST_CASE_TEMPLATE("shutdown turns away all of a thousand threads that wait for room", Pool,
                   EVERY_POOL) {
    Pool pool({.max_workers = 1, .max_pending = 1});
    TaskGate gate;
    const auto running = pool.submit(TaskGate::pass, gate.path(), 'a');
    gate.arrival();
    std::atomic<std::size_t> waiting{0};

    const Clients clients(count_of_clients(), [&](std::size_t client, std::size_t count) {
        if (client == 0) {
            const bool all_there = soon([&] { return waiting == count - 1; });
            pool.shutdown({.wait = false});
            return all_there;
        }
        ++waiting;
        try {
            (void)pool.submit(square, client);
            return false;
        } catch (const muster::ShutdownError&) {
            return true;
        }
    });

    CHECK(clients.served() == clients.count());
    gate.open();
    CHECK(running.result() == 'a');
}

}  // namespace overload_many_clients_test
