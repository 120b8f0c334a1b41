// SPDX-License-Identifier: MIT
//
// What threads and processes wait for each other with: a semaphore, an event, a barrier, and two
// locks that are taken together so that nobody waits for ever.
#include <algorithm>
#include <chrono>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include <muster/muster.hpp>

using Count = muster::multiprocessing::Value<int>;
constexpr std::chrono::milliseconds moment(10);

/// At most two are inside at a time.
template <typename Backend>
void cross_bridge(typename Backend::Barrier start, typename Backend::Semaphore places, Count inside,
                  Count most) {
    start.wait();
    for (int i = 0; i < 10; ++i) {
        places.acquire();
        const int now = inside.update([](int& n) { ++n; });
        most.update([now](int& n) { n = std::max(n, now); });
        std::this_thread::sleep_for(moment);
        inside.update([](int& n) { --n; });
        places.release();
    }
}

/// Waits for the gun, and for the others at the finish.
template <typename Backend>
void run_race(typename Backend::Barrier start, typename Backend::Event gun,
              typename Backend::Barrier finish, Count arrived, Count saw_all) {
    start.wait();
    gun.wait();
    arrived.update([](int& n) { ++n; });
    finish.wait();
    if (arrived.get() == 3) saw_all.update([](int& n) { ++n; });
}

/// Takes both forks at once, in whatever order they are given.
template <typename Backend>
void dine(typename Backend::Lock left, typename Backend::Lock right, Count meals) {
    for (int i = 0; i < 20; ++i) {
        const std::scoped_lock both(left, right);
        const int before = meals.get();
        std::this_thread::sleep_for(moment);
        meals.set(before + 1);
    }
}

template <typename Backend>
void run(const char* kind) {
    using Worker = typename Backend::Worker;
    const auto start_all = [](auto& workers) {
        for (Worker& worker : workers) worker.start();
    };
    const auto join_all = [](auto& workers) {
        for (Worker& worker : workers) worker.join();
    };

    typename Backend::Barrier walkers_ready(4);
    typename Backend::Semaphore places(2);
    Count inside(0), most(0);
    std::vector<Worker> walkers;
    for (int i = 0; i < 4; ++i)
        walkers.emplace_back(cross_bridge<Backend>, walkers_ready, places, inside, most);
    start_all(walkers);
    join_all(walkers);

    typename Backend::Barrier start(4), finish(3);  // This thread is at the start, too.
    typename Backend::Event gun;
    Count arrived(0), saw_all(0);
    std::vector<Worker> runners;
    for (int i = 0; i < 3; ++i)
        runners.emplace_back(run_race<Backend>, start, gun, finish, arrived, saw_all);
    start_all(runners);
    start.wait();
    std::this_thread::sleep_for(moment);  // Time enough for who does not wait for the gun.
    const int before_gun = arrived.get();
    gun.set();
    join_all(runners);

    typename Backend::Lock one, other;
    Count meals(0);
    std::vector<Worker> guests;
    guests.emplace_back(dine<Backend>, one, other, meals);
    guests.emplace_back(dine<Backend>, other, one, meals);
    start_all(guests);
    join_all(guests);

    std::cout << kind << ": " << (most.get() <= 2 ? "never more than 2" : "too many")
              << " on the bridge, " << before_gun << " before the gun, " << saw_all.get()
              << " saw all 3 finish, " << meals.get() << " meals\n";
}

int main() {
    muster::entry_guard();
    run<muster::Threads>("threads");
    run<muster::Processes>("processes");
}

// Output:
// threads: never more than 2 on the bridge, 0 before the gun, 3 saw all 3 finish, 40 meals
// processes: never more than 2 on the bridge, 0 before the gun, 3 saw all 3 finish, 40 meals
