// SPDX-License-Identifier: MIT
//
// Two threads, one of them a daemon that is asked to stop when nobody needs it any more.
#include <iostream>
#include <string>
#include <thread>

#include <muster/muster.hpp>

using muster::threading::Event;
using muster::threading::Thread;

void count(std::string what, int last) {
    for (int i = 1; i <= last; ++i) std::cout << what << ' ' << i << '\n';
}

void keep_watch(muster::StopToken stop, Event begun, Event ended) {
    begun.set();
    while (!stop.stop_requested()) std::this_thread::yield();
    ended.set();
}

int main() {
    Event begun, ended;
    {
        Thread watchman({.name = "watchman", .daemon = true}, keep_watch, begun, ended);
        watchman.start();
        begun.wait();

        Thread counter(count, "sheep", 3);
        counter.start();
        counter.join();
        std::cout << std::boolalpha << counter.name() << " lives: " << counter.is_alive() << '\n'
                  << watchman.name() << " lives: " << watchman.is_alive() << '\n';
    }  // Does not wait for the daemon.
    ended.wait();
    std::cout << "watchman has stopped\n";
}

// Output:
// sheep 1
// sheep 2
// sheep 3
// Thread-1 lives: false
// watchman lives: true
// watchman has stopped
