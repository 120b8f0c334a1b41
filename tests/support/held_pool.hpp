// SPDX-License-Identifier: MIT
#pragma once

#include <muster/thread_pool_executor.hpp>

#include "support/event.hpp"

namespace muster::test {

/// A thread pool of one worker, which runs nothing further until `gate` is set.
struct HeldPool {
    ThreadPoolExecutor pool{1};
    Event begun;
    Event gate;

    HeldPool() {
        pool.post([begun = begun, gate = gate] {
            begun.set();
            gate.wait();
        });
        begun.wait();
    }
};

}  // namespace muster::test
