// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Large arguments and results, and many of them.
#include <muster/entry_guard.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <fstream>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/counting.hpp"
#include "support/process_pool.hpp"
#include "support/task_gate.hpp"

namespace process_payloads_test {

namespace {

using muster::Future;
using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::test::Counting;
using muster::test::TaskGate;
using Bytes = std::vector<unsigned char>;

constexpr std::size_t kib = 1024;
constexpr std::size_t mib = 1024 * kib;

// Bytes that repeat only after 4099, which is a prime.
Bytes pattern(std::size_t size, unsigned seed) {
    Bytes bytes(std::min<std::size_t>(size, 4099));
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<unsigned char>((i * 31 + seed) >> (i % 5));
    bytes.reserve(size);
    while (bytes.size() < size) {
        const auto more = static_cast<std::ptrdiff_t>(std::min(bytes.size(), size - bytes.size()));
        bytes.insert(bytes.end(), bytes.begin(), bytes.begin() + more);
    }
    return bytes;
}

// What was in the second half comes first.
Bytes turn(const Bytes& bytes) {
    const auto half = bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 2);
    Bytes turned(half, bytes.end());
    turned.insert(turned.end(), bytes.begin(), half);
    return turned;
}

// Private and shared memory that this process has now. /proc counts in KiB.
std::size_t resident_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmRSS:") {
            std::size_t kilobytes = 0;
            status >> kilobytes;
            return kilobytes * kib;
        }
    return 0;
}

// Its decoder waits in the parent until the gate is open.
struct SlowToRead {
    std::string gate;

    template <typename Archive>
    void save(Archive& ar) const {
        ar(gate);
    }
    template <typename Archive>
    void load(Archive& ar) {
        ar(gate);
        if (!muster::in_worker()) TaskGate::pass(gate, 'r');
    }
};

}  // namespace

TEST_CASE("arguments and results of any size arrive as they were") {
    ProcessPoolExecutor pool(2);
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, 448 * std::size_t{1}, 512 * std::size_t{1}, 32 * kib - 64,
          32 * kib - 8, 32 * kib, 32 * kib + 1, 64 * kib, 256 * kib, 256 * kib + 1, mib - 1, mib,
          5 * mib, 64 * mib}) {
        CAPTURE(size);
        const Bytes bytes = pattern(size, 7);
        CHECK((pool.submit(turn, bytes).result() == turn(bytes)));
    }
}

TEST_CASE("what follows a large argument arrives as well") {
    ProcessPoolExecutor pool(1);
    const auto sum = [](const Bytes& bytes, std::size_t number, const std::string& text) {
        return bytes.size() + number + text.size();
    };
    for (std::size_t size = 400; size < 80'000; size += size / 3) {
        CAPTURE(size);
        CHECK(pool.submit(sum, Bytes(size), std::size_t{7}, std::string(20, 'x')).result() ==
              size + 27);
    }
}

TEST_CASE("results that fill the ring many times over arrive, also when nobody waits for them") {
    ProcessPoolExecutor pool(2);
    std::vector<Future<Bytes>> futures;
    for (unsigned i = 0; i < 500; ++i)
        futures.push_back(pool.submit(pattern, std::size_t{i * 173 % 31} * kib, i));
    pool.wait_idle();
    for (unsigned i = 0; i < 500; ++i)
        CHECK((futures[i].result() == pattern(std::size_t{i * 173 % 31} * kib, i)));
}

TEST_CASE("more large results than a worker has places for arrive") {
    ProcessPoolExecutor pool(1);
    std::vector<Future<Bytes>> futures;
    for (unsigned i = 0; i < 300; ++i) futures.push_back(pool.submit(pattern, 40 * kib + i, i));
    for (unsigned i = 0; i < 300; ++i) CHECK((futures[i].result() == pattern(40 * kib + i, i)));
}

TEST_CASE("large exceptions arrive") {
    ProcessPoolExecutor pool(1);
    const std::string text(300'000, 'x');
    auto future =
        pool.submit([](const std::string& what) { throw std::runtime_error(what); }, text);
    try {
        future.result();
        FAIL("no exception");
    } catch (const std::runtime_error& error) {
        CHECK((error.what() == text));
    }
    CHECK(pool.submit([] { return 1; }).result() == 1);
}

TEST_CASE("the memory of the parent stays bounded over many large arguments and results") {
    ProcessPoolExecutor pool(2);
    std::size_t early = 0;
    for (unsigned round = 0; round < 50; ++round) {
        std::vector<Future<Bytes>> futures;
        for (unsigned i = 0; i < 6; ++i)
            futures.push_back(pool.submit(turn, Bytes((i % 3 + 1) * mib + round * 1000)));
        for (auto& future : futures) CHECK(std::move(future).result().size() >= mib);
        pool.wait_idle();
        if (round == 9) early = resident_memory();
    }
    CAPTURE(early);
    CHECK(resident_memory() < early + 40 * mib);
}

TEST_CASE("10,000 outstanding tasks each get their own result") {
    ProcessPoolExecutor pool(2);
    TaskGate gate;
    auto first = pool.submit(TaskGate::pass, gate.path(), 'a');
    std::vector<Future<int>> futures;
    for (int i = 0; i < 10'000; ++i) futures.push_back(pool.submit([](int x) { return x + 1; }, i));
    gate.open();
    bool all = true;
    for (int i = 0; i < 10'000; ++i)
        all = all && futures[static_cast<std::size_t>(i)].result() == i + 1;
    CHECK(all);
}

TEST_CASE("several threads may submit and wait at once") {
    ProcessPoolExecutor pool(2);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&pool, &wrong, t] {
            for (int i = 0; i < 300; ++i)
                if (pool.submit([](int a, int b) { return a * 1000 + b; }, t, i).result() !=
                    t * 1000 + i)
                    ++wrong;
        });
    for (auto& thread : threads) thread.join();
    CHECK(wrong == 0);
}

TEST_CASE("map takes what it needs from endless input, and drops what was not asked for") {
    ProcessPoolExecutor pool(2);
    Counting endless;
    int sum = 0;
    for (const int square : pool.map([](int x) { return x * x; }, endless)) {
        sum += square;
        if (square == 100) break;
    }
    CHECK(sum == 385);
    CHECK(endless.pulled < 1000);
    pool.wait_idle();
    CHECK(pool.stats().pending == 0);
}

TEST_CASE("a crash inside a map costs the element that crashed") {
    ProcessPoolExecutor pool(2);
    auto results = pool.map(
        {.chunksize = 4, .buffersize = 20},
        [](int x) {
            if (x == 5) std::abort();
            return x;
        },
        std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
    std::vector<int> seen;
    auto next = results.begin();
    CHECK_THROWS_AS(
        [&] {
            for (; next != results.end(); ++next) seen.push_back(*next);
        }(),
        muster::WorkerCrashed);
    CHECK(seen == std::vector{0, 1, 2, 3, 4});
    pool.wait_idle();
    CHECK(pool.stats().crashed == 1);
}

TEST_CASE("move-only arguments and results, and function objects with data") {
    struct Scale {
        int factor = 1;
        int operator()(int x) const { return factor * x; }
    };
    ProcessPoolExecutor pool(1);
    auto doubled = pool.submit([](std::unique_ptr<int> x) { return std::make_unique<int>(2 * *x); },
                               std::make_unique<int>(21));
    CHECK(*std::move(doubled).result() == 42);
    CHECK(pool.submit(Scale{5}, 8).result() == 40);
    CHECK(pool.submit([](std::string s) { return s + "!"; }, "literal").result() == "literal!");
    CHECK(pool.submit(&std::string::size, std::string("four")).result() == 4);
}

TEST_CASE("a task is running until its result is read") {
    ProcessPoolExecutor pool(1);
    TaskGate gate;

    auto task = pool.submit([](const std::string& path) { return SlowToRead{path}; }, gate.path());

    CHECK(gate.arrival() == 'r');
    CHECK(task.running());
    CHECK_FALSE(task.done());
    CHECK_FALSE(task.cancel());
    gate.open();
    CHECK(task.result().gate == gate.path());
    CHECK_FALSE(task.running());
}

}  // namespace process_payloads_test
