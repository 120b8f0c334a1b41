// SPDX-License-Identifier: MIT
//
// One dances and one sings, at the same time but on the same stage, which a lock keeps for one of
// them. It is written once, and runs with threads and with processes.
#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include <muster/muster.hpp>

using Act = std::vector<std::string>;
template <typename Backend>
using Scenes = typename Backend::template Queue<std::string>;

/// Performs a hundred times, and never shares the stage.
template <typename Backend>
void perform(Act act, typename Backend::Lock stage, Scenes<Backend> seen) {
    for (int i = 0; i < 100; ++i) {
        const std::scoped_lock alone(stage);
        for (const std::string& scene : act) seen.put(scene);
    }
}

template <typename Backend>
void run(const char* kind) {
    const Act dance{"step", "step", "turn"}, song{"la", "li", "lu"};
    typename Backend::Lock stage;
    Scenes<Backend> seen;

    typename Backend::Worker dancer(perform<Backend>, dance, stage, seen);
    typename Backend::Worker singer(perform<Backend>, song, stage, seen);
    dancer.start();
    singer.start();
    dancer.join();
    singer.join();
    seen.shutdown();

    int dances = 0, songs = 0, mixed = 0;
    Act act;
    while (const auto scene = seen.get()) {
        act.push_back(*scene);
        if (act.size() < 3) continue;
        ++(act == dance ? dances : act == song ? songs : mixed);
        act.clear();
    }
    std::cout << kind << ": " << dances << " dances, " << songs << " songs, " << mixed
              << " mixed up\n";
}

int main() {
    muster::entry_guard();
    run<muster::Threads>("threads");
    run<muster::Processes>("processes");
}

// Output:
// threads: 100 dances, 100 songs, 0 mixed up
// processes: 100 dances, 100 songs, 0 mixed up
