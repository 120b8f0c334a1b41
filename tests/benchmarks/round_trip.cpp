// SPDX-License-Identifier: MIT
//
// What a task costs, on threads and on processes, beside what Python's concurrent.futures needs on
// the same machine in the same run, and beside what no thread pool can beat:
//
//     cmake --preset release && cmake --build --preset release --target benchmarks
//
// It is for an idle machine. Without python3 it leaves Python's figures out.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <future>
#include <iomanip>
#include <iostream>
#include <map>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <muster/muster.hpp>

#include "measuring.hpp"

namespace {

using namespace muster::benchmark;
using Figures = std::map<std::string, Seconds>;

constexpr std::size_t workers = 2;
constexpr std::size_t large = 64 * 1024 * 1024;

long add_one(long number) { return number + 1; }
std::vector<char> give_back(std::vector<char> payload) { return payload; }

template <typename F>
std::vector<Seconds> times_of(std::size_t rounds, F&& action) {
    std::vector<Seconds> times(rounds);
    for (Seconds& time : times) time = time_of(action);
    return times;
}

Seconds mean(const std::vector<Seconds>& times) {
    return std::accumulate(times.begin(), times.end(), 0.0) / static_cast<double>(times.size());
}

/// For an action that does something `count` times: the median for one of them.
template <typename F>
Seconds median_of_each(std::size_t rounds, std::size_t count, F&& action) {
    return median(times_of(rounds, action)) / static_cast<double>(count);
}

template <muster::Executor Pool>
void submit_then_get(Pool& pool, std::size_t count) {
    std::vector<muster::Future<long>> futures;
    futures.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
        futures.push_back(pool.submit(add_one, static_cast<long>(i)));
    for (const auto& future : futures) (void)future.result();
}

/// The time of one task in each of several situations.
template <muster::Executor Pool>
Figures measure(Pool& pool) {
    constexpr std::size_t outstanding = 10'000, posts = 200'000;
    Figures figures;
    submit_then_get(pool, outstanding);  // Starts the workers, and fills the caches.

    const auto round_trips = times_of(20'000, [&] { (void)pool.submit(add_one, 1).result(); });
    figures["round_trip_p50"] = median(round_trips);
    figures["round_trip_mean"] = mean(round_trips);

    figures["outstanding"] =
        median_of_each(21, outstanding, [&] { submit_then_get(pool, outstanding); });
    figures["post"] = median_of_each(3, posts, [&] {
        for (std::size_t i = 0; i < posts; ++i) pool.post(add_one, 1);
        pool.wait_idle();
    });

    std::vector<char> payload(large, 'x');
    figures["large"] =
        median(times_of(5, [&] { payload = pool.submit(give_back, std::move(payload)).result(); }));
    return figures;
}

Figures measure_threads() {
    constexpr std::size_t many = 1'000'000;
    muster::ThreadPoolExecutor pool(workers);
    Figures figures = measure(pool);
    figures["many"] = median_of_each(3, many, [&] { submit_then_get(pool, many); });
    return figures;
}

Figures measure_processes() {
    Figures figures;
    {
        muster::ProcessPoolExecutor pool(workers);
        figures = measure(pool);
    }
    std::vector<Seconds> starts;
    for (int round = 0; round < 9; ++round) {
        const auto begin = Clock::now();
        muster::ProcessPoolExecutor pool(workers);
        (void)pool.submit(add_one, 1).result();
        starts.push_back(std::chrono::duration<Seconds>(Clock::now() - begin).count());
    }
    figures["start"] = median(std::move(starts));
    return figures;
}

/// The standard library's means: what a pool is made of, and what it replaces.
Figures measure_floors() {
    constexpr std::size_t pairs = 200'000;
    Figures floors;
    floors["pair"] = median_of_each(5, pairs, [] {
        for (std::size_t i = 0; i < pairs; ++i) {
            std::promise<std::size_t> promise;
            std::future<std::size_t> future = promise.get_future();
            promise.set_value(i);
            (void)future.get();
        }
    });
    floors["async"] =
        median(times_of(2000, [] { (void)std::async(std::launch::async, add_one, 1).get(); }));

    // Two threads that do nothing but wake each other. Odd turns are the other one's.
    constexpr unsigned turns = 20'000;
    std::atomic<unsigned> turn{0};
    std::thread other([&turn] {
        for (unsigned mine = 1; mine < 2 * turns; mine += 2) {
            for (unsigned now = turn.load(); now != mine; now = turn.load()) turn.wait(now);
            turn.store(mine + 1);
            turn.notify_one();
        }
    });
    floors["wake"] = median(times_of(turns, [&turn] {
        const unsigned theirs = turn.load() + 1;
        turn.store(theirs);
        turn.notify_one();
        turn.wait(theirs);
    }));
    other.join();

    const std::vector<char> source(large, 'x');
    std::vector<char> target(large);
    floors["copy"] =
        median_of_each(5, 1, [&] { std::copy(source.begin(), source.end(), target.begin()); });
    return floors;
}

std::string rate(Seconds seconds) { return std::to_string(std::lround(1 / seconds)) + "/s"; }

/// A line of a table: what it says, which figure it shows, and how.
struct Row {
    std::string text;
    std::string key;
    std::string (*show)(Seconds) = duration;
};

/// Prints a table. Beside what Python has measured too stands how many times as long it took.
void print(const std::string& kind, const std::vector<Row>& rows, const Figures& ours,
           const Figures& python) {
    std::cout << '\n'
              << std::left << std::setw(42) << kind << std::right << std::setw(12) << "muster";
    std::cout << std::setw(12) << "Python" << std::setw(9) << "ratio" << '\n';
    for (const auto& [text, key, show] : rows) {
        const Seconds own = ours.at(key);
        std::cout << "  " << std::left << std::setw(40) << text << std::right << std::setw(12)
                  << show(own);
        if (const auto other = python.find(kind + '.' + key); other != python.end())
            std::cout << std::setw(12) << show(other->second) << std::setw(9) << std::fixed
                      << std::setprecision(1) << other->second / own;
        std::cout << '\n';
    }
}

}  // namespace

int main() {
    muster::entry_guard();
    const std::vector<Row> both = {{"submit to result, one at a time, median", "round_trip_p50"},
                                   {"the same, mean", "round_trip_mean"},
                                   {"10,000 outstanding, tasks in a second", "outstanding", rate},
                                   {"posted task", "post"},
                                   {"64 MiB vector<char>, there and back", "large"}};
    auto for_threads = both, for_processes = both;
    for_threads.push_back({"each of 1,000,000 futures", "many"});
    for_processes.push_back({"construction to first result", "start"});

    const Figures python = measure_python(__FILE__);
    if (python.empty()) std::cout << no_python;
    print("floors",
          {{"std::promise and its std::future", "pair"},
           {"std::async, a thread each", "async"},
           {"two threads wake each other", "wake"},
           {"64 MiB copied once", "copy"}},
          measure_floors(), python);
    print("threads", for_threads, measure_threads(), python);
    print("processes", for_processes, measure_processes(), python);
}
