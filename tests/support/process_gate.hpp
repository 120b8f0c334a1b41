// SPDX-License-Identifier: MIT
#pragma once

#include <muster/multiprocessing/event.hpp>

#include <unistd.h>

#include <chrono>

#include "support/program.hpp"

namespace muster::test {

/// Where a process tells the test that it is there, and waits until the test lets it go on. Pass it
/// as an argument: copies are the same gate.
struct ProcessGate {
    multiprocessing::Event arrival;
    multiprocessing::Event opening;

    // What the test calls:

    /// Waits until the process is there. False if it does not come.
    [[nodiscard]] bool arrived() const {
        return arrival.wait_for(std::chrono::milliseconds(patience_ms));
    }
    void open() const { opening.set(); }

    // What the process calls:

    void arrive() const { arrival.set(); }
    void pass() const {
        arrive();
        opening.wait();
    }
    /// Until the process is ended.
    [[noreturn]] void arrive_and_stay() const {
        arrive();
        for (;;) ::pause();
    }
};

}  // namespace muster::test
