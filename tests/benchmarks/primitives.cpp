// SPDX-License-Identifier: MIT
//
// What locks, semaphores, events and queues cost, between threads and between processes, beside
// Python's and Boost.Interprocess's in the same run, and beside what the system's own means need:
//
//     cmake --preset release && cmake --build --preset release --target benchmarks
//
// Each figure is the median of several rounds, or of as many as it is told; in each round all take
// their turns. It is for an idle machine: what else runs there makes figures longer. Without python3
// or Boost it leaves theirs out.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <muster/entry_guard.hpp>

#include "measuring.hpp"
#include "primitives_kits.hpp"

namespace {

using namespace muster::benchmark;

constexpr std::size_t calls = 200'000;      // Of what one thread does alone, or two in contention.
constexpr std::size_t items = 100'000;      // Through a queue.
constexpr std::size_t round_trips = 5'000;  // Of what sleeps.

/// How long it takes until all have done their part: the first one here, each other one in an `Other`
/// that has started by then.
template <typename Other>
Seconds together(const std::vector<Action>& parts) {
    static auto& ready = shared<std::atomic<std::size_t>>();
    static auto& done = shared<std::atomic<std::size_t>>();
    static auto& go = shared<std::atomic<bool>>();
    ready = done = 0;
    go = false;
    std::vector<Other> others;
    for (std::size_t i = 1; i < parts.size(); ++i)
        others.emplace_back([&part = parts[i]] {
            ++ready;
            while (!go) std::this_thread::yield();
            part();
            ++done;
        });
    while (ready != others.size()) std::this_thread::yield();
    const Seconds time = time_of([&] {
        go = true;
        parts[0]();
        while (done != others.size()) std::this_thread::yield();
    });
    for (auto& other : others) other.join();
    return time;
}

Action repeat(std::size_t times, auto action) {
    return [=] {
        for (std::size_t i = 0; i < times; ++i) action();
    };
}

/// For one of many calls by one thread.
Seconds alone(auto action) {
    repeat(calls, action)();  // Fills the caches; the processor gets up to its speed.
    return time_of(repeat(calls, action)) / calls;
}

/// For one of many calls by two at a time.
template <typename Other>
Seconds contended(auto action) {
    const Action part = repeat(calls, action);
    return together<Other>({part, part}) / (2 * calls);
}

/// There and back: each of two waits for the other.
template <typename Other>
Seconds round_trip(auto& there, auto& back, auto send, auto receive) {
    const Action here = repeat(round_trips, [=, &there, &back] { send(there), receive(back); });
    const Action beyond = repeat(round_trips, [=, &there, &back] { receive(there), send(back); });
    return together<Other>({here, beyond}) / round_trips;
}

/// Of an item, from so many producers to as many consumers.
template <typename Other>
Seconds passage(auto& queue, std::size_t pairs) {
    std::vector<Action> parts;
    for (std::size_t i = 0; i < pairs; ++i) {
        parts.push_back(repeat(items, [&] { queue.put(Item{}); }));
        parts.push_back(repeat(items, [&] { (void)queue.get(); }));
    }
    return together<Other>(parts) / static_cast<Seconds>(pairs * items);
}

Seconds cpu_time() {
    ::rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const ::timeval& time) {
        return static_cast<Seconds>(time.tv_sec) + 1e-6 * static_cast<Seconds>(time.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// CPU time of a process, all of its threads together, that waits for two seconds.
Seconds idle(const Action& wait, const Action& end) {
    static Seconds& used = shared<Seconds>();
    const auto end_later = [&] {
        std::this_thread::sleep_for(std::chrono::seconds(2));
        end();
    };
    (void)together<Copy>({end_later, [&] {
                              const Seconds before = cpu_time();
                              wait();
                              used = cpu_time() - before;
                          }});
    return used;
}

/// What is measured in each round: the row of a table, whose figure it is, and how to get it.
struct Measurement {
    std::string row;
    std::string whose;
    std::function<Seconds()> run;
};
using Measurements = std::vector<Measurement>;

/// All that a kit has.
template <typename Kit>
void add(Measurements& all, const std::string& kind, const std::string& whose) {
    using Other = typename Kit::Other;
    const auto row = [&](const char* name, std::function<Seconds()> run) {
        all.push_back({kind + '.' + name, whose, std::move(run)});
    };
    const auto lock_once = [](auto& lock) { lock.lock(), lock.unlock(); };

    auto& lock = shared<typename Kit::Lock>();
    const auto lock_it = [&lock, lock_once] { lock_once(lock); };
    row("lock", [=] { return alone(lock_it); });
    row("contended", [=] { return contended<Other>(lock_it); });
    row("make", [] { return alone([] { [[maybe_unused]] const typename Kit::Lock dropped; }); });
    if constexpr (requires { typename Kit::RLock; })
        row("rlock", [=, &rlock = shared<typename Kit::RLock>()] {
            return alone([&] { lock_once(rlock); });
        });

    using Semaphore = typename Kit::Semaphore;
    const auto acquire = [](auto& semaphore) { semaphore.acquire(); };
    const auto release = [](auto& semaphore) { semaphore.release(); };
    auto &one = shared<Semaphore>(1U), &none = shared<Semaphore>(0U), &back = shared<Semaphore>(0U);
    const auto take_permit = [=, &one] { acquire(one), release(one); };
    row("semaphore", [=] { return alone(take_permit); });
    row("semaphore_contended", [=] { return contended<Other>(take_permit); });
    row("semaphore_trip",
        [=, &none, &back] { return round_trip<Other>(none, back, release, acquire); });

    using Event = typename Kit::Event;
    auto &event = shared<Event>(), &event_back = shared<Event>();
    const auto set = [](auto& of) { of.set(); };
    const auto wait = [](auto& of) { of.wait(), of.clear(); };
    row("event", [=, &event] { return alone([&] { set(event), wait(event); }); });
    row("event_trip",
        [=, &event, &event_back] { return round_trip<Other>(event, event_back, set, wait); });

    if constexpr (requires { typename Kit::Queue; }) {
        using Queue = typename Kit::Queue;
        auto &queue = shared<Queue>(), &answers = shared<Queue>(), &few = shared<Queue>(bound);
        const auto put = [](auto& to) { to.put(Item{}); };
        const auto get = [](auto& from) { (void)from.get(); };
        row("queue", [=, &queue] { return alone([&] { put(queue), get(queue); }); });
        row("queue_trip",
            [=, &queue, &answers] { return round_trip<Other>(queue, answers, put, get); });
        row("one_to_one", [&queue] { return passage<Other>(queue, 1); });
        row("two_to_two", [&queue] { return passage<Other>(queue, 2); });
        row("bounded", [&few] { return passage<Other>(few, 1); });
        row("bounded_two", [&few] { return passage<Other>(few, 2); });
        if constexpr (std::is_same_v<Other, Copy>) {
            row("idle_lock", [=, &lock] {
                lock.lock();
                return idle(lock_it, [&] { lock.unlock(); });
            });
            row("idle_get", [=, &queue] { return idle([&] { get(queue); }, [&] { put(queue); }); });
            row("idle_acquire",
                [=, &none] { return idle([&] { acquire(none); }, [&] { release(none); }); });
            row("idle_wait",
                [=, &event] { return idle([&] { wait(event); }, [&] { set(event); }); });
        }
    }
    if constexpr (requires { typename Kit::Value; })
        row("value", [&value = shared<typename Kit::Value>(0)] {
            return alone([&] { value.update([](long& number) { ++number; }); });
        });
}

/// In each round one figure, by row and whose it is.
using Figures = std::map<std::pair<std::string, std::string>, std::vector<Seconds>>;

std::optional<Seconds> median_of(const Figures& all, const std::string& row,
                                 const std::string& whose) {
    const auto found = all.find({row, whose});
    if (found == all.end()) return std::nullopt;
    return median(found->second);
}

std::string rate(Seconds seconds) { return number(1e-6 / seconds, " M/s"); }

/// A line of the tables: what it says, which figures it shows, how, and what processes are to reach.
struct Row {
    const char* text;
    const char* key;
    std::string (*show)(Seconds) = duration;
    const char* target = "";
};
constexpr Row rows[] = {{"Lock, lock and unlock", "lock", duration, "<= 20 ns"},
                        {"the same by two at a time", "contended"},
                        {"RLock, lock and unlock", "rlock"},
                        {"Lock, made and dropped", "make"},
                        {"Semaphore, acquire and release", "semaphore"},
                        {"the same by two at a time", "semaphore_contended"},
                        {"Semaphore, there and back", "semaphore_trip"},
                        {"Event, set, wait and clear", "event"},
                        {"Event, there and back", "event_trip"},
                        {"Queue of 64 bytes, put and get", "queue"},
                        {"Queue, there and back", "queue_trip"},
                        {"Queue, one producer, one consumer", "one_to_one", rate, ">= 3 M/s"},
                        {"Queue, two producers, two consumers", "two_to_two", rate, ">= 1 M/s"},
                        {"Queue of at most 1,000, one and one", "bounded", rate},
                        {"Queue of at most 1,000, two and two", "bounded_two", rate},
                        {"Python's SimpleQueue, put and get", "simple_queue"},
                        {"Python's SimpleQueue, there and back", "simple_queue_trip"},
                        {"Python's SimpleQueue, one and one", "simple_one_to_one", rate},
                        {"Python's SimpleQueue, two and two", "simple_two_to_two", rate},
                        {"Python's Pipe, send and receive", "pipe_queue"},
                        {"Python's Pipe, there and back", "pipe_queue_trip"},
                        {"Python's Pipe, one and one", "pipe_one_to_one", rate},
                        {"Value, update", "value"},
                        {"CPU time of 2 s in lock()", "idle_lock"},
                        {"CPU time of 2 s in get()", "idle_get", duration, "0"},
                        {"CPU time of 2 s in acquire()", "idle_acquire", duration, "0"},
                        {"CPU time of 2 s in wait()", "idle_wait", duration, "0"}};
constexpr const char* others[] = {"Python", "Boost", "floor"};

void print_head(const std::string& kind) {
    std::printf("\n%-40s%11s", kind.c_str(), "muster");
    for (const char* whose : others) std::printf("%11s%8s", whose, "ratio");
    std::printf("%12s\n", kind == "processes" ? "target" : "");
}

/// Beside what others need stands how many times as long as muster that is.
void print(const std::string& kind, const Row& row, const Figures& figures) {
    const auto of = [&](const char* whose) {
        return median_of(figures, kind + '.' + row.key, whose);
    };
    const auto own = of("muster");
    if (!own && !of("Python")) return;
    std::printf("  %-38s%11s", row.text, own ? row.show(*own).c_str() : "");
    for (const char* whose : others) {
        const auto other = of(whose);
        std::printf("%11s%8s", other ? row.show(*other).c_str() : "",
                    other && own && *own > 0 ? number(*other / *own).c_str() : "");
    }
    std::printf("%12s\n", kind == "processes" ? row.target : "");
}

}  // namespace

int main(int argc, char** argv) {
    muster::entry_guard();
    const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
    Measurements all;
    add<MusterThreads>(all, "threads", "muster");
    add<ThreadFloors>(all, "threads", "floor");
    add<MusterProcesses>(all, "processes", "muster");
    add<ProcessFloors>(all, "processes", "floor");
#ifdef BENCHMARK_BOOST
    add<BoostProcesses>(all, "processes", "Boost");
#else
    std::cout << "No figures of Boost's: libboost-dev was not found.\n";
#endif
    // Those of one row follow each other, so that they meet the same disturbances.
    std::stable_sort(all.begin(), all.end(),
                     [](const auto& one, const auto& other) { return one.row < other.row; });

    Figures figures;
    for (int round = 0; round < rounds; ++round) {
        for (const auto& [row, whose, run] : all) {
            ::alarm(patience);
            figures[{row, whose}].push_back(run());
        }
        ::alarm(patience);
        const auto python = measure_python(__FILE__);
        if (python.empty()) std::cout << no_python;
        for (const auto& [row, seconds] : python) figures[{row, "Python"}].push_back(seconds);
    }

    for (const std::string kind : {"threads", "processes"}) {
        print_head(kind);
        for (const Row& row : rows) print(kind, row, figures);
    }
}
