// SPDX-License-Identifier: MIT
//
// How long a process pool is disturbed: by a worker's death, by a forced end, and how often it wakes
// while it has nothing to do:
//
//     cmake --preset release && cmake --build --preset release --target benchmarks
//
// It is for an idle machine. It waits a minute for idle pools of each start method, or as many
// seconds as it is told.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <muster/muster.hpp>

#include "measuring.hpp"

namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;
using muster::benchmark::Clock;
using muster::benchmark::median;

int own_pid() { return static_cast<int>(::getpid()); }

[[noreturn]] void run_for_ever() {
    // A loop that does nothing need not exist, says the standard; one that looks at something must.
    for (volatile bool go_on = true; go_on;) continue;
    std::abort();
}

/// From the SIGKILL of the only worker to the first result of the one in its place.
Milliseconds death_to_result(muster::ProcessPoolExecutor& pool) {
    const int pid = pool.submit(own_pid).result();
    const auto killed = Clock::now();
    ::kill(pid, SIGKILL);
    while (pool.submit({.retries = 1}, own_pid).result() == pid) {
    }
    return Clock::now() - killed;
}

/// From `kill_workers()` until all of 8 workers that were running a task are gone.
Milliseconds forced_end(muster::StartMethod method) {
    muster::ProcessPoolExecutor pool({.max_workers = 8, .start_method = method});
    std::vector<muster::Future<void>> tasks;
    for (int i = 0; i < 8; ++i) tasks.push_back(pool.submit(run_for_ever));
    while (pool.stats().running < 8) std::this_thread::yield();
    const auto begun = Clock::now();
    pool.kill_workers();
    pool.shutdown();
    return Clock::now() - begun;
}

/// How often the threads of a process were given a CPU. What waits is not.
long switches_of(const std::string& process) {
    long sum = 0;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + process + "/task")) {
        std::ifstream status(thread.path() / "status");
        for (std::string word; status >> word;)
            if (long count = 0; word.ends_with("ctxt_switches:") && status >> count) sum += count;
    }
    return sum;
}

/// The same with all processes that it has started, and those have started.
long switches_of_family(const std::string& process) {
    long sum = switches_of(process);
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + process + "/task")) {
        std::ifstream children(thread.path() / "children");
        for (std::string child; children >> child;) sum += switches_of_family(child);
    }
    return sum;
}

/// Gives a pool some of all that it may have to do.
void warm_up(auto& pool) {
    for (int i = 0; i < 100; ++i) (void)pool.submit({.timeout = std::chrono::hours(1)}, own_pid);
    pool.submit({.retries = 1, .retry_delay = std::chrono::milliseconds(1)}, [] { throw 1; })
        .add_done_callback([](const auto&) {});
    pool.wait_idle();
}

/// How often an idle pool of both kinds woke: all of their threads, the workers, and what these
/// come from, together.
long idle_wakes(std::chrono::seconds time, muster::StartMethod method) {
    muster::ProcessPoolExecutor processes({.max_workers = 2, .start_method = method});
    muster::ThreadPoolExecutor threads(2);
    warm_up(threads);
    warm_up(processes);
    processes.submit([] { ::raise(SIGKILL); }).wait();
    processes.submit({.timeout = std::chrono::milliseconds(10)}, run_for_ever).wait();
    warm_up(processes);
    std::this_thread::sleep_for(std::chrono::seconds(1));  // Until all have gone to sleep.

    const long before = switches_of_family("self");
    std::this_thread::sleep_for(time);
    return switches_of_family("self") - before;
}

}  // namespace

int main(int argc, char** argv) {
    muster::entry_guard();
    using enum muster::StartMethod;
    const std::chrono::seconds idle(argc > 1 ? std::stol(argv[1]) : 60);
    std::printf("%-12s %28s %34s %24s\n", "", "death to next result, median",
                "end of 8 busy workers, and longest", "wakes of two idle pools");
    for (const auto& [name, method] : {std::pair{"spawn", spawn}, std::pair{"fork", fork},
                                       std::pair{"forkserver", forkserver}}) {
        std::vector<Milliseconds> deaths, ends;
        {
            muster::ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
            for (int i = 0; i < 101; ++i) deaths.push_back(death_to_result(pool));
        }
        for (int i = 0; i < 11; ++i) ends.push_back(forced_end(method));
        const Milliseconds longest = *std::max_element(ends.begin(), ends.end());
        // The one that looks wakes too, once, at the end.
        std::printf("%-12s %25.2f ms %18.2f ms %9.2f ms %17ld in %ld s\n", name,
                    median(deaths).count(), median(ends).count(), longest.count(),
                    idle_wakes(idle, method), static_cast<long>(idle.count()));
    }
}
