// SPDX-License-Identifier: MIT
// ctest: concurrency
// A copy of the process made by fork() while process pools exist.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/in_copy.hpp"
#include "support/orphan.hpp"
#include "support/task_gate.hpp"

namespace process_fork_test {

namespace {

using muster::Future;
using muster::ProcessPoolExecutor;
using muster::test::in_copy;
using muster::test::TaskGate;

int own_pid() { return static_cast<int>(::getpid()); }

bool refuses(const std::function<void()>& call) {
    try {
        call();
    } catch (const muster::InvalidStateError&) {
        return true;
    }
    return false;
}

ProcessPoolExecutor& global_pool() {
    static ProcessPoolExecutor pool(1);
    return pool;
}

}  // namespace

TEST_CASE("in a copy of the process its pools are unusable") {
    ProcessPoolExecutor pool(1);
    const int worker = pool.submit(own_pid).result();
    CHECK(in_copy([&] {
              if (!refuses([&] { (void)pool.submit(own_pid); })) return 1;
              if (!refuses([&] { (void)pool.try_submit(own_pid); })) return 2;
              if (!refuses([&] { pool.post(own_pid); })) return 3;
              if (!refuses([&] { (void)pool.map([](int x) { return x; }, std::vector{1}); }))
                  return 4;
              if (!refuses([&] { pool.for_each([](int) {}, std::vector{1}); })) return 5;
              return 0;
          }) == 0);
    CHECK(pool.submit(own_pid).result() == worker);
}

TEST_CASE("a copy of the process neither waits for its pools nor touches their tasks and workers") {
    auto pool = std::make_unique<ProcessPoolExecutor>(1);
    (void)global_pool().submit(own_pid).result();
    TaskGate gate;
    auto busy = pool->submit(
        [](muster::StopToken stop, const std::string& path) {
            TaskGate::pass(path, 'a');
            return stop.stop_requested();
        },
        gate.path());
    CHECK(gate.arrival() == 'a');
    std::vector<Future<int>> queued;
    for (int i = 0; i < 10; ++i) queued.push_back(pool->submit([](int x) { return x; }, i));
    const auto large =
        pool->submit([](const std::string& s) { return s.size(); }, std::string(8 << 20, 'x'));

    CHECK(in_copy([&] {
              for (Future<int>& future : queued)
                  if (future.cancel()) return 1;
              if (busy.request_stop()) return 2;
              (void)busy.running();
              (void)pool->stats();
              pool->wait_idle();
              pool->shutdown();
              pool->shutdown({.cancel_futures = true});
              queued.clear();
              pool.reset();
              return 5;
          }) == 5);

    CHECK_FALSE(busy.done());
    gate.open();
    CHECK_FALSE(busy.result());
    for (int i = 0; i < 10; ++i) CHECK(queued[static_cast<std::size_t>(i)].result() == i);
    CHECK(large.result() == (8U << 20));
    pool->wait_idle();
    CHECK(pool->stats().crashed == 0);
    CHECK(pool->stats().cancelled == 0);
}

TEST_CASE("in a copy of the process nobody waits for outcomes that are only in the original") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;
    auto running = pool.submit(
        [](const std::string& path) {
            TaskGate::pass(path, 'a');
            return 1;
        },
        gate.path());
    (void)gate.arrival();
    auto queued = pool.submit([] { return 2; });
    auto results = pool.map([](int x) { return x; }, std::vector{1, 2});
    for (const auto& pending : {running, queued, queued.then([](int x) { return x; })})
        CHECK(in_copy([&] { return muster::test::ask_orphan(pending); }) == 0);
    CHECK(in_copy([&] {
              return refuses([&] {
                  for (const int x : results) (void)x;
              });
          }) == 1);
    gate.open();
    CHECK(running.result() + queued.result() == 3);
    CHECK(in_copy([&] { return queued.result(); }) == 2);  // It was there before.
    CHECK(in_copy([&] {
              ProcessPoolExecutor own(1);
              return queued.then(own, [](int x) { return x + 2; }).result();
          }) == 4);
}

TEST_CASE("a copy holds no memory and no bell of the pools open") {
    ProcessPoolExecutor pool(1);
    pool.submit(own_pid).result();
    const auto held = [] {
        int count = 0;
        for (const int fd : muster::test::open_descriptors()) {
            std::error_code gone;
            const std::string what =
                std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), gone).string();
            if (what == "/memfd:muster-family (deleted)")
                continue;  // It shares locks and the like.
            count += what.starts_with("/memfd:muster") || what == "anon_inode:[eventfd]" ? 1 : 0;
        }
        return count;
    };
    CHECK(held() != 0);
    CHECK(in_copy(held) == 0);
}

TEST_CASE("a copy may drop the results of a map that goes on in the original") {
    ProcessPoolExecutor pool(1);
    auto results = pool.map([](int x) { return x; }, std::vector{1, 2, 3, 4, 5, 6, 7, 8});
    auto next = results.begin();
    CHECK(in_copy([&] {
              auto dropped = std::move(results);
              return 4;
          }) == 4);
    int sum = 0;
    for (; next != results.end(); ++next) sum += *next;
    CHECK(sum == 36);
}

TEST_CASE("a pool made in a copy of the process works") {
    ProcessPoolExecutor pool(1);
    pool.submit(own_pid).result();
    CHECK(in_copy([] {
              ProcessPoolExecutor own(2);
              int sum = 0;
              for (const int x : own.map([](int n) { return 2 * n; }, std::vector{1, 2, 3}))
                  sum += x;
              return sum;
          }) == 12);
}

TEST_CASE("a pool that was made before the fork, but had nothing to do, is unusable after it") {
    ProcessPoolExecutor pool(1);
    CHECK(in_copy([&] { return refuses([&] { (void)pool.submit(own_pid); }) ? 0 : 1; }) == 0);
    CHECK(pool.submit([] { return 1; }).result() == 1);
}

TEST_CASE("copies made while a pool is at work have no lock that stays held") {
    ProcessPoolExecutor pool(2);
    std::vector<Future<int>> futures;
    int failed = 0;
    for (int i = 0; i < 20; ++i) {
        for (int j = 0; j < 200; ++j) futures.push_back(pool.submit([](int x) { return x; }, j));
        failed += in_copy([&] {
                      for (auto& future : futures) (void)future.cancel();
                      (void)pool.stats();
                      ProcessPoolExecutor own(1);
                      return own.submit([] { return 4; }).result();
                  }) != 4;
    }
    CHECK(failed == 0);
    for (std::size_t i = 0; i < futures.size(); ++i)
        CHECK(futures[i].result() == static_cast<int>(i % 200));
}

}  // namespace process_fork_test
