// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What dead processes had comes back although their parent asks none of them anything, and may be
// waiting for just that.
#include <muster/multiprocessing/barrier.hpp>
#include <muster/multiprocessing/pipe.hpp>
#include <muster/multiprocessing/process.hpp>
#include <muster/multiprocessing/queue.hpp>
#include <muster/multiprocessing/semaphore.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/family.hpp"
#include "support/in_copy.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_process_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
namespace os = muster::detail::os;
using Process = muster::test::TestedProcess;
using muster::StartMethod;
using muster::detail::Deadline;
using muster::detail::DeathWatch;
using muster::test::children_of;
using muster::test::exit_code_of;
using muster::test::family_bytes;
using muster::test::in_copy;
using muster::test::ProcessGate;
using muster::test::tested_start_method;
using namespace std::chrono_literals;

constexpr std::chrono::milliseconds patience{muster::test::patience_ms};

/// Waits until it is so. False if that does not come.
bool eventually(const std::function<bool()>& is_so) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!is_so()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::yield();
    }
    return true;
}

/// A thread that waits without a limit for what a process may have. Make it before that process: so
/// it is not waited for before the handle has gone, and gets on in any case.
class Waiting {
  public:
    template <typename Wait>
    void begin(Wait wait) {
        ended_ = std::async(std::launch::async, wait);
    }
    /// False if it does not come to its end.
    [[nodiscard]] bool ends() const {
        return ended_.wait_for(patience) == std::future_status::ready;
    }
    void get() { ended_.get(); }

  private:
    std::future<void> ended_;
};

void hold(const mp::Semaphore& permits, const ProcessGate& gate) {
    permits.acquire();
    gate.arrive_and_stay();
}

/// Has a process of its own killed. 0 if it gets what that one had.
int wait_for_permit() {
    const mp::Semaphore permit(1);
    const ProcessGate gate;
    const Process process{hold, permit, gate};
    process.start();
    if (!gate.arrived()) return 1;
    process.kill();
    return permit.try_acquire_for(patience) ? 0 : 2;
}

/// The directories of the threads that watch processes.
std::vector<std::filesystem::path> watching_threads() {
    std::vector<std::filesystem::path> all;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
        std::string name;
        std::getline(std::ifstream(thread.path() / "comm"), name);
        if (name == "muster-deaths") all.push_back(thread.path());
    }
    return all;
}

/// How often the threads that watch processes went to sleep.
long sleeps() {
    long sum = 0;
    for (const auto& thread : watching_threads()) sum += muster::test::sleeps_of(thread);
    return sum;
}

}  // namespace

TEST_CASE("who waits for the permit of a process that was killed gets it") {
    const mp::Semaphore permit(1);
    const ProcessGate gate;
    Waiting parent;
    const Process process{hold, permit, gate};
    process.start();
    CHECK(gate.arrived());
    parent.begin([&] { permit.acquire(); });
    process.kill();
    REQUIRE(parent.ends());
}

TEST_CASE(
    "who waits gets the permits of all that were killed, whichever threads had started them") {
    constexpr std::size_t count = 4;
    const mp::Semaphore permits(count);
    std::vector<ProcessGate> gates(count);
    Waiting parent;
    std::vector<std::unique_ptr<Process>> processes;
    for (const ProcessGate& gate : gates)
        processes.push_back(std::make_unique<Process>(hold, permits, gate));
    {
        std::vector<std::jthread> threads;
        for (const auto& process : processes)
            threads.emplace_back([&process] { process->start(); });
    }
    for (const ProcessGate& gate : gates) CHECK(gate.arrived());
    parent.begin([&] {
        for (std::size_t i = 0; i < count; ++i) permits.acquire();
    });
    for (const auto& process : processes) process->kill();
    REQUIRE(parent.ends());
}

TEST_CASE("who waits at a barrier is told when one was killed who waited, or had not yet come") {
    for (const bool comes : {true, false}) {
        CAPTURE(comes);
        const mp::Barrier barrier(3);
        const ProcessGate gate;
        Waiting parent;
        const Process process{[](const mp::Barrier& its, const ProcessGate& its_gate, bool waits) {
                                  if (waits) (void)its.wait();
                                  if (its.parties() == 3) its_gate.arrive_and_stay();
                              },
                              barrier, gate, comes};
        process.start();
        parent.begin([&] { (void)barrier.wait(); });
        REQUIRE(eventually([&] { return barrier.n_waiting() == (comes ? 2 : 1); }));
        if (!comes) REQUIRE(gate.arrived());
        process.kill();
        REQUIRE(parent.ends());
        CHECK_THROWS_AS(parent.get(), muster::BrokenBarrierError);
    }
}

TEST_CASE("who joins a queue goes on when the process was killed that had taken the last item") {
    const mp::Queue<int> queue;
    const ProcessGate gate;
    Waiting parent;
    const Process process{[](const mp::Queue<int>& its, const ProcessGate& its_gate) {
                              (void)its.get();
                              its_gate.arrive_and_stay();
                          },
                          queue, gate};
    queue.put(1);
    process.start();
    CHECK(gate.arrived());
    parent.begin([&] { queue.join(); });
    process.kill();
    REQUIRE(parent.ends());
}

TEST_CASE("who waits gets the permit of a process that has left without giving it back") {
    const mp::Semaphore permit(1);
    const ProcessGate gate;
    Waiting parent;
    const Process process{[](const mp::Semaphore& its, const ProcessGate& its_gate) {
                              its.acquire();
                              its_gate.pass();
                              ::_exit(3);
                          },
                          permit, gate};
    process.start();
    CHECK(gate.arrived());
    parent.begin([&] { permit.acquire(); });
    gate.open();
    REQUIRE(parent.ends());
    CHECK(process.exit_code() == 3);
}

TEST_CASE("who waits gets the permit where the application ignores SIGCHLD, too") {
    (void)exit_code_of(Process{[] {}});  // A fork server does not ignore it.
    const auto before = std::signal(SIGCHLD, SIG_IGN);
    bool ends = false;
    {
        const mp::Semaphore permit(1);
        const ProcessGate gate;
        Waiting parent;
        const Process process{hold, permit, gate};
        process.start();
        CHECK(gate.arrived());
        parent.begin([&] { permit.acquire(); });
        process.kill();
        ends = parent.ends();
    }
    (void)std::signal(SIGCHLD, before);
    CHECK(ends);
}

TEST_CASE("what a process's own process held comes back when the one in the middle is killed") {
    const mp::Semaphore permit(1);
    const ProcessGate gate;
    const auto [ours, theirs] = mp::Pipe();
    const Process middle{
        [](const mp::Semaphore& its, const ProcessGate& its_gate, const mp::Connection& end) {
            const Process inner{[](const mp::Semaphore& inner_permit, const ProcessGate& inner_gate,
                                   const mp::Connection& inner_end) {
                                    inner_permit.acquire();
                                    inner_end.send(1);
                                    inner_gate.arrive_and_stay();
                                },
                                its, its_gate, end};
            inner.start();
            inner.join();
        },
        permit, gate, theirs};
    Waiting parent;
    middle.start();
    theirs.close();
    CHECK(gate.arrived());
    CHECK(ours.recv<int>() == 1);
    parent.begin([&, &ours = ours] {
        CHECK_THROWS_AS((void)ours.recv<int>(), muster::EndOfFile);
        permit.acquire();
    });
    middle.kill();
    REQUIRE(parent.ends());
}

TEST_CASE("a process, and a copy of one, sees those of its own end") {
    const ProcessGate gate;
    const Process process{&ProcessGate::pass, gate};
    process.start();
    CHECK(gate.arrived());
    CHECK(in_copy(wait_for_permit) == 0);
    CHECK(exit_code_of(Process{[] { std::exit(wait_for_permit()); }}) == 0);
    CHECK(process.is_alive());
    gate.open();
}

TEST_CASE("the family's memory that a process had is free soon after it was killed") {
    const mp::Queue<std::string> queue;  // What stays, once it was needed, is there now.
    const ProcessGate gate;
    const std::uint64_t before = family_bytes();
    const Process process{[](const ProcessGate& its) {
                              const mp::Queue<std::string> own;
                              own.put(std::string(1'000'000, 'x'));
                              its.arrive_and_stay();
                          },
                          gate};
    process.start();
    CHECK(gate.arrived());
    CHECK(family_bytes() > before + 1'000'000);
    process.kill();
    CHECK(eventually([&] { return family_bytes() == before; }));
}

TEST_CASE("a process that has ended is reaped, and its exit code kept") {
    if (tested_start_method() == StartMethod::forkserver) return;  // It is the server's to reap.
    const ProcessGate gate;
    const auto before = children_of();
    const Process process{[](const ProcessGate& its) {
                              its.pass();
                              std::exit(7);
                          },
                          gate};
    process.start();
    CHECK(gate.arrived());
    CHECK(children_of().size() == before.size() + 1);
    gate.open();
    CHECK(eventually([&] { return children_of() == before; }));
    CHECK_FALSE(process.is_alive());
    CHECK(process.exit_code() == 7);
}

// --- the thread that sees them end

TEST_CASE("there is one thread that sees processes end, as long as one runs") {
    REQUIRE(eventually([] { return watching_threads().empty(); }));
    for (int round = 0; round < 3; ++round) {
        const ProcessGate first_gate, second_gate;
        const Process first{&ProcessGate::pass, first_gate};
        const Process second{&ProcessGate::pass, second_gate};
        CHECK(watching_threads().empty());
        first.start();
        second.start();
        CHECK(first_gate.arrived());
        CHECK(second_gate.arrived());
        CHECK(eventually([] { return watching_threads().size() == 1; }));
        first_gate.open();
        first.join();
        CHECK(watching_threads().size() == 1);
        second_gate.open();
        CHECK(eventually([] { return watching_threads().empty(); }));
        CHECK(second.exit_code() == 0);
    }
}

TEST_CASE("a process that runs wakes nobody in its parent") {
    const ProcessGate gate;
    const Process process{&ProcessGate::pass, gate};
    process.start();
    CHECK(gate.arrived());
    REQUIRE(eventually([] { return watching_threads().size() == 1; }));
    CHECK(eventually([] {  // It may not yet lie down.
        const long before = sleeps();
        std::this_thread::sleep_for(500ms);
        return sleeps() == before;
    }));
    gate.open();
}

namespace {

/// Ends when it was looked at often enough, and tells nobody.
class Silent final : public muster::detail::Mortal {
  public:
    explicit Silent(int looks) : looks_{looks} {}
    bool look(os::Watch& /*watch*/, Deadline& look_again) noexcept override {
        struct AtThreadEnd {
            ~AtThreadEnd() { ended_threads.fetch_add(1); }
        };
        static thread_local AtThreadEnd at_thread_end;
        (void)&at_thread_end;
        look_again = muster::detail::deadline_after(1ms);
        return looks_.fetch_sub(1) <= 1;
    }
    [[nodiscard]] bool has_ended() const { return looks_.load() <= 0; }

    static inline std::atomic<int> ended_threads{0};

  private:
    std::atomic<int> looks_;
};

}  // namespace

TEST_CASE("what tells nobody when it ends is looked at from time to time") {
    static DeathWatch deaths;
    Silent process(10);
    DeathWatch::Start(deaths).succeeded(process);
    CHECK(eventually([&] { return process.has_ended(); }));
    deaths.remove(process);
}

TEST_CASE("when the last handle has gone, so has the thread") {
    static DeathWatch deaths;
    for (int round = 1; round <= 100; ++round) {
        const int before = Silent::ended_threads.load();
        Silent first(1 + round % 3), second(1'000'000);  // A handle that goes before the end.
        {
            DeathWatch::Start starting(deaths);
            starting.succeeded(first);
        }
        DeathWatch::Start(deaths).succeeded(second);
        REQUIRE(eventually([&] { return first.has_ended(); }));
        deaths.remove(first);
        deaths.remove(second);
        CHECK(Silent::ended_threads.load() > before);
    }
}

TEST_CASE("a start that fails leaves no thread") {
    static DeathWatch deaths;
    const Silent process(0);
    { const DeathWatch::Start failed(deaths); }
    deaths.remove(process);  // Waits until the thread has noticed.
    CHECK(eventually([] { return watching_threads().empty(); }));
}

}  // namespace multiprocessing_process_deaths_test
