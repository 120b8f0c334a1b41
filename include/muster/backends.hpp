// SPDX-License-Identifier: MIT
#pragma once

#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/thread_pool_executor.hpp>
#include <muster/threading.hpp>

namespace muster {

/// What runs things in threads, as a template argument: one template serves threads and processes.
///
///     template <typename Backend>
///     void stage(typename Backend::template Queue<int> in, typename Backend::Event done);
///
///     stage<muster::Threads>(queue, event);
struct Threads {
    using Worker = threading::Thread;
    using Pool = ThreadPoolExecutor;
    using Lock = threading::Lock;
    using RLock = threading::RLock;
    using Semaphore = threading::Semaphore;
    using BoundedSemaphore = threading::BoundedSemaphore;
    using Event = threading::Event;
    using Condition = threading::Condition;
    using Barrier = threading::Barrier;
    template <typename T>
    using Queue = threading::Queue<T>;
};

/// The same in processes.
struct Processes {
    using Worker = multiprocessing::Process;
    using Pool = ProcessPoolExecutor;
    using Lock = multiprocessing::Lock;
    using RLock = multiprocessing::RLock;
    using Semaphore = multiprocessing::Semaphore;
    using BoundedSemaphore = multiprocessing::BoundedSemaphore;
    using Event = multiprocessing::Event;
    using Condition = multiprocessing::Condition;
    using Barrier = multiprocessing::Barrier;
    template <typename T>
    using Queue = multiprocessing::Queue<T>;
};

}  // namespace muster
