// SPDX-License-Identifier: MIT
// A daemon is asked to stop when a pool of another file has finished what it has, not before.
#include <muster/stop_token.hpp>
#include <muster/threading/event.hpp>
#include <muster/threading/thread.hpp>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "moments.hpp"

int main() {
    const muster::threading::Event begun;
    static const auto* const daemon =
        new muster::threading::Thread({.daemon = true}, [begun](muster::StopToken stop) {
            const std::stop_callback request(stop, [] { asked.release(); });
            begun.set();
            for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
        });
    daemon->start();
    begun.wait();
    std::atexit([] { exiting.release(); });
}
