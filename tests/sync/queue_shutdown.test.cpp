// SPDX-License-Identifier: MIT
// ctest: concurrency
// How queues are shut down. The names in brackets are those of the cases of CPython's
// test_queue.py.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <numeric>
#include <optional>
#include <vector>

#include "sync/backends.hpp"
#include "sync/queue_workers.hpp"

namespace sync_queue_shutdown_test {

namespace {

using muster::InvalidStateError;
using muster::QueueShutDown;
using muster::test::Crew;
using muster::test::get_one;
using muster::test::join;
using muster::test::next;
using muster::test::Numbers;
using muster::test::patience;
using muster::test::put_one;
using namespace std::chrono_literals;

}  // namespace

TEST_CASE_TEMPLATE(
    "a shut down queue gives what is left, and takes no more [test_shutdown_empty, "
    "test_shutdown_nonempty, test_shutdown_all_methods_in_one_thread]",
    B, MUSTER_BACKENDS) {
    const Numbers<B> queue(2);
    queue.put(1);
    queue.put(2);
    CHECK_FALSE(queue.is_shutdown());
    queue.shutdown();
    CHECK(queue.is_shutdown());
    CHECK_THROWS_AS(queue.put(3), QueueShutDown);
    CHECK_THROWS_AS((void)queue.try_put(3), QueueShutDown);
    CHECK_THROWS_AS((void)queue.put_for(3, patience), QueueShutDown);
    CHECK_FALSE(queue.join_for(0s));
    CHECK(queue.get() == 1);
    CHECK_THROWS_AS(queue.put(3), QueueShutDown);  // There would be room.
    CHECK(queue.get_for(patience) == 2);
    CHECK(queue.get() == std::nullopt);
    CHECK(queue.try_get() == std::nullopt);
    CHECK(queue.get_for(patience) == std::nullopt);
    queue.task_done();
    queue.task_done();
    queue.join();
    CHECK_THROWS_AS(queue.task_done(), InvalidStateError);
}

TEST_CASE_TEMPLATE(
    "an immediate shutdown drops what is left [test_shutdown_immediate, "
    "test_shutdown_immediate_all_methods_in_one_thread]",
    B, MUSTER_BACKENDS) {
    const Numbers<B> queue;
    for (int i = 0; i < 3; ++i) queue.put(i);
    CHECK(queue.get() == 0);
    queue.shutdown(true);
    CHECK(queue.is_shutdown());
    CHECK(queue.empty());
    CHECK(queue.get() == std::nullopt);
    CHECK_THROWS_AS(queue.put(3), QueueShutDown);
    CHECK_FALSE(queue.join_for(0s));  // The first was taken, and is not done.
    queue.task_done();
    queue.join();
    CHECK_THROWS_AS(queue.task_done(), InvalidStateError);
}

TEST_CASE_TEMPLATE("a queue may be shut down again, never less [test_shutdown_allowed_transitions]",
                   B, MUSTER_BACKENDS) {
    const Numbers<B> queue;
    queue.put(1);
    queue.shutdown();
    queue.shutdown();
    CHECK(queue.size() == 1);
    queue.shutdown(true);
    CHECK(queue.empty());
    queue.shutdown();
    CHECK(queue.is_shutdown());
    CHECK_THROWS_AS(queue.put(1), QueueShutDown);
}

TEST_CASE_TEMPLATE("an immediate shutdown counts no item twice that was done before it was taken",
                   B, MUSTER_BACKENDS) {
    const Numbers<B> queue;
    queue.put(1);
    queue.put(2);
    queue.task_done();
    queue.shutdown(true);
    CHECK(queue.join_for(0s));
    CHECK_THROWS_AS(queue.task_done(), InvalidStateError);
}

TEST_CASE_TEMPLATE(
    "getters that wait are woken by shutdown [test_shutdown_pending_get, "
    "test_shutdown_get, test_shutdown_immediate_get]",
    B, MUSTER_BACKENDS) {
    for (const bool immediate : {false, true}) {
        const Numbers<B> queue;
        const Numbers<B> told;
        const Crew<B> getters(3, &get_one<B>, queue, told);
        CHECK(getters.falls_asleep());
        queue.shutdown(immediate);
        CHECK(next(told, 3) == std::vector{0, 0, 0});
    }
    const Numbers<B> queue;
    const Numbers<B> told;
    queue.put(1);
    queue.put(2);
    queue.shutdown();
    const Crew<B> getters(3, &get_one<B>, queue, told);
    CHECK(next(told, 3) == std::vector{0, 1, 1});
}

TEST_CASE_TEMPLATE(
    "putters that wait are refused by shutdown [test_shutdown_put, "
    "test_shutdown_immediate_put]",
    B, MUSTER_BACKENDS) {
    for (const bool immediate : {false, true}) {
        const Numbers<B> queue(1);
        const Numbers<B> told;
        queue.put(1);
        const Crew<B> putters(3, &put_one<B>, queue, told);
        CHECK(putters.falls_asleep());
        CHECK(told.empty());
        queue.shutdown(immediate);
        CHECK(next(told, 3) == std::vector{0, 0, 0});
        CHECK(queue.size() == (immediate ? 0U : 1U));
    }
}

TEST_CASE_TEMPLATE(
    "joiners go on after an immediate shutdown, and after the last task_done else "
    "[test_shutdown_join, test_shutdown_immediate_join, test_shutdown_put_join, "
    "test_shutdown_get_task_done_join, test_shutdown_immediate_put_join]",
    B, MUSTER_BACKENDS) {
    for (const bool immediate : {false, true}) {
        const Numbers<B> queue(2);
        const Numbers<B> told;
        const Numbers<B> refused;
        queue.put(1);
        queue.put(2);
        const Crew<B> joiners(2, &join<B>, queue, told);
        const Crew<B> putter(1, &put_one<B>, queue, refused);
        CHECK(joiners.falls_asleep());
        CHECK(putter.falls_asleep());
        queue.shutdown(immediate);
        CHECK(next(refused, 1) == std::vector{0});
        if (!immediate) {
            CHECK(joiners.falls_asleep());
            CHECK(told.empty());
            for (int i = 0; i < 2; ++i) {
                CHECK(queue.get() == i + 1);
                queue.task_done();
            }
        }
        CHECK(next(told, 2) == std::vector{1, 1});
    }
}

TEST_CASE_TEMPLATE(
    "a shutdown in the midst of work leaves nobody waiting "
    "[test_shutdown_all_methods_in_many_threads, "
    "test_shutdown_immediate_all_methods_in_many_threads]",
    B, MUSTER_BACKENDS) {
    for (const bool immediate : {false, true}) {
        const Numbers<B> queue(5);
        const Numbers<B> taken;
        const Numbers<B> put;
        const Crew<B> writers(
            4,
            [](Numbers<B> out, Numbers<B> told) {
                int count = 0;
                try {
                    for (;; ++count) out.put(count);
                } catch (const QueueShutDown&) {
                }
                told.put(count);
            },
            queue, put);
        const Crew<B> readers(
            6,
            [](Numbers<B> in, Numbers<B> told) {
                int count = 0;
                for (; in.get(); ++count) in.task_done();
                told.put(count);
            },
            queue, taken);
        const Numbers<B> joined;
        const Crew<B> joiners(2, &join<B>, queue, joined);
        for (int i = 0; i < 100; ++i) {
            queue.put(i);
            (void)queue.join_for(0s);
        }
        queue.shutdown(immediate);
        CHECK(writers.join());
        CHECK(readers.join());
        CHECK(joiners.join());
        CHECK(queue.join_for(0s));
        const std::vector<int> in = next(put, 4);
        const std::vector<int> out = next(taken, 6);
        const int all_in = 100 + std::accumulate(in.begin(), in.end(), 0);
        const int all_out = std::accumulate(out.begin(), out.end(), 0);
        CHECK(all_out <= all_in);
        CHECK(all_in - all_out <= (immediate ? 5 : 0));
    }
}

}  // namespace sync_queue_shutdown_test
