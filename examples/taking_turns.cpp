// SPDX-License-Identifier: MIT
//
// What threads and processes wait for each other with: a semaphore, an event, a barrier, and two
// locks that are taken together so that nobody waits for ever.
#include <iostream>
#include <mutex>
#include <vector>

#include <muster/muster.hpp>

/// At most two are inside at a time.
template <typename Backend>
void cross_bridge(typename Backend::Semaphore places, muster::multiprocessing::Value<int> inside,
                  muster::multiprocessing::Value<int> most) {
    for (int i = 0; i < 100; ++i) {
        places.acquire();
        const int now = inside.update([](int& n) { ++n; });
        most.update([now](int& n) { n = now > n ? now : n; });
        inside.update([](int& n) { --n; });
        places.release();
    }
}

/// Waits for the gun, and for the others at the finish.
template <typename Backend>
void run_race(typename Backend::Event gun, typename Backend::Barrier finish,
              muster::multiprocessing::Value<int> arrived) {
    gun.wait();
    if (finish.wait() == 0) arrived.set(static_cast<int>(finish.parties()));
}

/// Takes both forks at once, in whatever order they are given.
template <typename Backend>
void dine(typename Backend::Lock left, typename Backend::Lock right,
          muster::multiprocessing::Value<int> meals) {
    for (int i = 0; i < 100; ++i) {
        const std::scoped_lock both(left, right);
        meals.update([](int& n) { ++n; });
    }
}

template <typename Worker>
void start_and_join(std::vector<Worker>& workers) {
    for (Worker& worker : workers) worker.start();
    for (Worker& worker : workers) worker.join();
}

template <typename Backend>
void run(const char* kind) {
    using Worker = typename Backend::Worker;
    muster::multiprocessing::Value<int> inside(0), most(0), arrived(0), meals(0);

    typename Backend::Semaphore places(2);
    std::vector<Worker> walkers;
    for (int i = 0; i < 4; ++i) walkers.emplace_back(cross_bridge<Backend>, places, inside, most);
    start_and_join(walkers);

    typename Backend::Event gun;
    typename Backend::Barrier finish(3);
    std::vector<Worker> runners;
    for (int i = 0; i < 3; ++i) runners.emplace_back(run_race<Backend>, gun, finish, arrived);
    gun.set();
    start_and_join(runners);

    typename Backend::Lock one, other;
    std::vector<Worker> guests;
    guests.emplace_back(dine<Backend>, one, other, meals);
    guests.emplace_back(dine<Backend>, other, one, meals);
    start_and_join(guests);

    std::cout << kind << ": " << (most.get() <= 2 ? "never more than 2" : "too many")
              << " on the bridge, " << arrived.get() << " at the finish, " << meals.get()
              << " meals\n";
}

int main() {
    muster::entry_guard();
    run<muster::Threads>("threads");
    run<muster::Processes>("processes");
}

// Output:
// threads: never more than 2 on the bridge, 3 at the finish, 200 meals
// processes: never more than 2 on the bridge, 3 at the finish, 200 meals
