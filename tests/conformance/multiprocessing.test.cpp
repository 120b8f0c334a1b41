// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What CPython's _test_multiprocessing.py asks of processes, and of what they share, beyond
// tests/multiprocessing. The names in brackets are the cases' names there.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <iterator>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/family.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/tested_process.hpp"
#include "sync/backends.hpp"

namespace conformance_multiprocessing_test {

namespace {

namespace mp = muster::multiprocessing;
using Process = muster::test::TestedProcess;
using muster::test::exit_code_of;
using muster::test::falls_asleep;
using muster::test::family_bytes;
using muster::test::next;
using muster::test::patience;
using muster::test::ProcessGate;
using muster::test::ProcessPool;
using muster::test::soon;
using muster::threading::Thread;
using namespace std::chrono_literals;

int own_pid() { return static_cast<int>(::getpid()); }

void wait_once(const mp::Condition& condition, const mp::Lock& lock, int limit_ms,
               const mp::Queue<int>& ready, const mp::Queue<int>& told) {
    const std::lock_guard held(lock);
    ready.put(1);
    told.put(condition.wait_for(lock, limit_ms * 1ms) ? 1 : 0);
}

// Three processes and three threads that make the same call.
class Six {
  public:
    template <typename F, typename... Args>
    explicit Six(F fn, const Args&... args) {
        for (int i = 0; i < 3; ++i) {
            processes_.push_back(Process{fn, args...});
            processes_.back().start();
            threads_.emplace_back(fn, args...);
            threads_.back().start();
        }
    }
    // Whether all wait for something or have ended, soon.
    [[nodiscard]] bool falls_asleep() const {
        const auto each = [](const auto& worker) { return muster::test::falls_asleep(worker); };
        return std::all_of(processes_.begin(), processes_.end(), each) &&
               std::all_of(threads_.begin(), threads_.end(), each);
    }

  private:
    std::vector<mp::Process> processes_;
    std::vector<Thread> threads_;
};

std::atomic<int> handled{0};  // The handler may run in any thread.

// Without SA_RESTART, so that it ends what the system does for us. What was before.
struct ::sigaction count_signals() {
    struct ::sigaction before {};
    struct ::sigaction count {};
    count.sa_handler = [](int) { ++handled; };
    handled = 0;
    ::sigaction(SIGUSR1, &count, &before);
    return before;
}

// Waits for one thing after the other, and counts the signals that come meanwhile.
void wait_for_each(const mp::Lock& lock, const mp::Semaphore& semaphore, const mp::Event& event,
                   const mp::Condition& condition, const mp::Queue<int>& queue,
                   const mp::Queue<int>& told) {
    (void)count_signals();
    lock.lock();
    lock.unlock();
    told.put(1);
    semaphore.acquire();
    told.put(2);
    event.wait();
    told.put(3);
    lock.lock();
    condition.wait(lock);
    lock.unlock();
    told.put(4);
    (void)queue.get();
    told.put(5);
    std::exit(handled);
}

struct Point {
    int x = 0;
    double y = 0;
    bool operator==(const Point&) const = default;
};

struct Unwritable {
    int number = 0;
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(number);
        throw std::runtime_error("cannot be written");
    }
};

}  // namespace

TEST_CASE("a process is a daemon if it is told so, whatever its parent is [test_daemon_argument]") {
    CHECK_FALSE(Process{own_pid}.daemon());
    CHECK(Process({.daemon = true}, own_pid).daemon());
    const Process daemon({.daemon = true}, [] {
        const Process child{[] { std::exit(mp::current_process().daemon() ? 2 : 3); }};
        std::exit(child.daemon() ? 1 : exit_code_of(child).value_or(4));
    });
    CHECK(exit_code_of(daemon) == 3);
}

TEST_CASE(
    "a process without standard streams makes queues, processes and pools "
    "[TestStdinBadfiledescriptor]") {
    const Process process{[] {
        const muster::test::StandardStreamsClosed closed;
        const mp::Queue<int> queue;
        (void)exit_code_of(Process{[](const mp::Queue<int>& its) { its.put(5); }, queue});
        ProcessPool pool(1);
        const int square = pool.submit([](int x) { return x * x; }, 7).result();
        std::exit(queue.try_get().value_or(0) + square);
    }};
    CHECK(exit_code_of(process) == 54);
}

TEST_CASE(
    "a full queue takes nothing until a process has taken from it [test_put, test_get, "
    "test_empty]") {
    const mp::Queue<int> queue(6);
    const mp::Queue<int> back;
    const ProcessGate gate;
    const Process process{
        [](const mp::Queue<int>& in, const mp::Queue<int>& out, const ProcessGate& its) {
            its.pass();
            while (const auto item = in.get()) out.put(*item);
        },
        queue, back, gate};
    process.start();
    REQUIRE(gate.arrived());
    queue.put(1);
    CHECK(queue.try_put(2));
    CHECK(queue.put_for(3, patience));
    CHECK(queue.put_for(4, 0s));
    CHECK(queue.put_for(5, -1s));
    queue.put(6);
    CHECK(queue.full());
    CHECK_FALSE(queue.try_put(7));
    CHECK_FALSE(queue.put_for(7, 0s));
    CHECK_FALSE(queue.put_for(7, 20ms));
    CHECK(back.empty());
    gate.open();
    queue.shutdown();
    process.join();
    CHECK(queue.empty());
    CHECK(back.get() == 1);
    CHECK(back.get_for(patience) == 2);
    CHECK(back.get_for(0s) == 3);
    CHECK(back.get_for(-1s) == 4);
    CHECK(back.try_get() == 5);
    CHECK_FALSE(back.empty());
    CHECK(back.get() == 6);
    CHECK(back.empty());
}

TEST_CASE("what is put before and after the start of a process comes in order [test_fork]") {
    const mp::Queue<int> queue;
    for (int i = 0; i < 10; ++i) queue.put(i);
    const Process process{[](const mp::Queue<int>& its) {
                              for (int i = 10; i < 20; ++i) its.put(i);
                          },
                          queue};
    CHECK(exit_code_of(process) == 0);
    for (int i = 0; i < 20; ++i) CHECK(queue.try_get() == i);
    CHECK(queue.empty());
}

TEST_CASE("threads and processes wait for one condition [test_notify_all, test_notify_n]") {
    const mp::Condition condition;
    const mp::Lock lock;
    const mp::Queue<int> ready;
    const mp::Queue<int> told;
    const Six in_vain(wait_once, condition, lock, 20, ready, told);
    CHECK(next(told, 6) == std::vector(6, 0));
    REQUIRE(next(ready, 6).size() == 6);

    const auto notified = [&](const Six& six, std::size_t count, std::size_t expected) {
        CHECK(six.falls_asleep());
        CHECK(told.empty());
        condition.notify(count);
        CHECK(next(told, expected) == std::vector(expected, 1));
    };
    const Six all(wait_once, condition, lock, 200'000, ready, told);
    REQUIRE(next(ready, 6).size() == 6);
    notified(all, ~std::size_t{0}, 6);
    const Six some(wait_once, condition, lock, 200'000, ready, told);
    REQUIRE(next(ready, 6).size() == 6);
    notified(some, 2, 2);
    notified(some, 4, 4);
    notified(some, 3, 0);
}

TEST_CASE("a signal that is handled ends no wait [test_wait_result]") {
    const mp::Lock lock;
    const mp::Semaphore semaphore(0);
    const mp::Event event;
    const mp::Condition condition;
    const mp::Queue<int> queue;
    const mp::Queue<int> told;
    const Process process{wait_for_each, lock, semaphore, event, condition, queue, told};
    lock.lock();
    process.start();
    const auto goes_on_by = [&](int stage, auto call) {
        CHECK(falls_asleep(process));
        process.send_signal(SIGUSR1);
        CHECK(falls_asleep(process));
        CHECK(told.empty());
        call();
        CHECK(next(told, 1) == std::vector{stage});
    };
    goes_on_by(1, [&] { lock.unlock(); });
    goes_on_by(2, [&] { semaphore.release(); });
    goes_on_by(3, [&] { event.set(); });
    goes_on_by(4, [&] { condition.notify_one(); });
    goes_on_by(5, [&] { queue.put(1); });
    process.join();
    CHECK(process.exit_code() == 5);
}

TEST_CASE("a signal that is handled does not end a join [test_poll_eintr]") {
    const struct ::sigaction before = count_signals();
    const ProcessGate gate;
    const Process process{&ProcessGate::pass, gate};
    process.start();
    CHECK(gate.arrived());
    const Thread joiner{[&] { process.join(); }};
    joiner.start();
    CHECK(falls_asleep(joiner));
    ::syscall(SYS_tgkill, ::getpid(), static_cast<::pid_t>(joiner.id()), SIGUSR1);
    CHECK(soon([] { return handled == 1; }));
    CHECK(falls_asleep(joiner));
    CHECK(joiner.is_alive());
    gate.open();
    CHECK(joiner.join_for(patience));
    CHECK(process.exit_code() == 0);
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("one of three processes runs the action, before any goes on [test_action]") {
    static std::optional<mp::Queue<int>> log;  // Each process has its own.
    const mp::Queue<int> told;
    const mp::Barrier barrier(3, [] { log->put(-1); });
    std::vector<mp::Process> processes;
    for (int i = 0; i < 3; ++i) {
        processes.push_back(Process{[](const mp::Barrier& its, const mp::Queue<int>& out) {
                                        log = out;
                                        for (int round = 0; round < 2; ++round) {
                                            its.wait();
                                            out.put(round);
                                        }
                                    },
                                    barrier, told});
        processes.back().start();
    }
    for (const int expected : {-1, 0, 0, 0, -1, 1, 1, 1}) CHECK(told.get_for(patience) == expected);
    for (const auto& process : processes) CHECK(process.join_for(patience));
    CHECK(told.empty());
}

TEST_CASE(
    "a process changes values, arrays and text where they are [test_value, test_array, "
    "test_sharedctypes, test_copy]") {
    const mp::Value<int> number(7);
    const mp::Value<Point> point(Point{3, 2.5});
    const mp::SharedArray<int> array(10);
    std::iota(array.begin(), array.end(), 0);
    const std::string_view hello = "hello";
    const mp::SharedArray<char> text(hello.size());
    std::copy(hello.begin(), hello.end(), text.begin());
    const mp::Value<Point> copy(point.get());
    const Process process{
        [](const mp::Value<int>& i, const mp::Value<Point>& p, const mp::SharedArray<int>& numbers,
           const mp::SharedArray<char>& letters) {
            i.update([](int& x) { x *= 2; });
            p.update([](Point& its) { its = {its.x * 2, its.y * 2}; });
            std::partial_sum(numbers.begin(), numbers.end(), numbers.begin());
            std::reverse(letters.begin(), letters.end());
        },
        number, point, array, text};
    CHECK(exit_code_of(process) == 0);
    CHECK(number.get() == 14);
    CHECK(point.get() == Point{6, 5.0});
    CHECK(copy.get() == Point{3, 2.5});
    CHECK(std::vector(array.begin(), array.end()) ==
          std::vector{0, 1, 3, 6, 10, 15, 21, 28, 36, 45});
    CHECK(std::string(text.begin(), text.end()) == "olleh");
}

TEST_CASE("five thousand blocks never overlap, and all are given back [test_heap]") {
    const mp::Lock other;  // The family's memory stays as long as this.
    const auto before = family_bytes();
    {
        std::mt19937 random{20260101};
        std::vector<mp::SharedArray<int>> blocks;
        std::vector<int> owners;
        const auto is_whole = [&](std::size_t i) {
            return std::all_of(blocks[i].begin(), blocks[i].end(),
                               [&](int each) { return each == owners[i]; });
        };
        for (int n = 0; n < 5'000; ++n) {
            blocks.emplace_back(1 + random() % 5'000);
            owners.push_back(n);
            std::fill(blocks.back().begin(), blocks.back().end(), n);
            if (blocks.size() <= 50) continue;
            const std::size_t victim = random() % blocks.size();
            REQUIRE(is_whole(victim));
            std::swap(blocks[victim], blocks.back());
            std::swap(owners[victim], owners.back());
            blocks.pop_back();
            owners.pop_back();
        }
        for (std::size_t i = 0; i < blocks.size(); ++i) CHECK(is_whole(i));
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("ten thousand tasks that wait do not keep a pool that is ended [test_terminate]") {
    ProcessPool pool(3);
    std::vector<muster::Future<void>> tasks;
    for (int i = 0; i < 10'000; ++i)
        tasks.push_back(pool.submit([] {
            for (;;) ::pause();
        }));
    pool.kill_workers();
    for (const auto& task : tasks) REQUIRE(task.wait_for(patience));
    CHECK(std::all_of(tasks.begin(), tasks.end(),
                      [](const auto& task) { return task.cancelled() || task.exception(); }));
}

TEST_CASE(
    "results that cannot be written, large errors and input that fails leave a pool whole "
    "[test_unpickleable_result, test_map_no_failfast, test_map_handle_iterable_exception]") {
    ProcessPool pool(1);
    const int worker = pool.submit(own_pid).result();
    for (int i = 0; i < 20; ++i)
        CHECK_THROWS_WITH_AS((void)pool.submit([] { return Unwritable{}; }).result(),
                             "cannot be written", std::runtime_error);
    const auto fail = [](int) -> int { throw std::runtime_error(std::string(1 << 20, 'x')); };
    CHECK_THROWS_AS((void)pool.map(fail, std::vector(10, 0)).begin(), std::runtime_error);
    struct Words {
        std::istringstream& in;
        [[nodiscard]] auto begin() const { return std::istream_iterator<int>(in); }
        [[nodiscard]] static auto end() { return std::istream_iterator<int>(); }
    };
    std::istringstream words("1 2 three");
    words.exceptions(std::ios::failbit);
    const auto consume = [&] {
        for (const int x : pool.map([](int y) { return y; }, Words{words})) (void)x;
    };
    CHECK_THROWS_AS(consume(), std::ios::failure);
    CHECK(pool.submit(own_pid).result() == worker);
}

}  // namespace conformance_multiprocessing_test
