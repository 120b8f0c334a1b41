// SPDX-License-Identifier: MIT
//
// A task that waits can be cancelled; one that runs can be asked to stop, in another process too.
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include <muster/muster.hpp>

using namespace std::chrono_literals;

/// A function that takes a StopToken before its arguments gets one.
std::string poll_sensor(muster::StopToken stop, std::string name) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);
    return name + " switched off";
}

int main() {
    muster::entry_guard();

    muster::ProcessPoolExecutor pool({.max_workers = 1});
    const auto running = pool.submit(poll_sensor, "thermometer");
    const auto waiting = pool.submit([] { return 42; });  // The only worker is busy.

    std::cout << std::boolalpha;
    std::cout << "cancelled: " << waiting.cancel() << '\n';
    try {
        std::cout << waiting.result() << '\n';
    } catch (const muster::CancelledError&) {
        std::cout << "no result, as the task will never run\n";
    }

    while (!running.running()) std::this_thread::sleep_for(1ms);
    std::cout << "cancelled: " << running.cancel() << '\n';
    running.request_stop();
    std::cout << running.result() << '\n';
}

// Output:
// cancelled: true
// no result, as the task will never run
// cancelled: false
// thermometer switched off
