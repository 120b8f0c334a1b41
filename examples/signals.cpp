// SPDX-License-Identifier: MIT
//
// A process is sent signals: one that its handler counts, one that asks it to end, and one that it
// can't refuse.
#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <string>
#include <thread>

#include <muster/muster.hpp>

namespace mp = muster::multiprocessing;
using namespace std::chrono_literals;

std::atomic<int> knocks = 0;  // A handler may run in any thread, and do little more than count.

/// Tells of each knock. It handles no other signal, so those end it.
void keep_the_door(mp::Queue<std::string> heard) {
    std::signal(SIGUSR1, [](int) { ++knocks; });
    heard.put("at the door");
    for (int told = 0;;) {
        while (told == knocks) std::this_thread::sleep_for(1ms);
        heard.put("knock " + std::to_string(++told));
    }
}

/// Has something better to do than to end.
void play_deaf(mp::Queue<std::string> heard) {
    std::signal(SIGTERM, SIG_IGN);
    heard.put("not listening");
    for (;;) std::this_thread::sleep_for(1h);
}

void print_next(const mp::Queue<std::string>& heard) { std::cout << *heard.get() << '\n'; }

int main() {
    muster::entry_guard();

    mp::Queue<std::string> heard;
    mp::Process porter({.name = "porter"}, keep_the_door, heard);
    porter.start();
    print_next(heard);  // Before that, the signal would end it.
    for (int i = 0; i < 3; ++i) {
        porter.send_signal(SIGUSR1);
        print_next(heard);  // Two signals at once may arrive as one.
    }
    porter.terminate();
    porter.join();
    std::cout << "asked to end: exit code " << *porter.exit_code() << '\n';

    mp::Process guest({.name = "guest"}, play_deaf, heard);
    guest.start();
    print_next(heard);
    guest.terminate();
    std::cout << std::boolalpha << "still alive: " << guest.is_alive() << '\n';
    guest.kill();
    guest.join();
    std::cout << "killed: exit code " << *guest.exit_code() << '\n';
}

// Output:
// at the door
// knock 1
// knock 2
// knock 3
// asked to end: exit code -15
// not listening
// still alive: true
// killed: exit code -9
