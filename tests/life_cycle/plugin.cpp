// SPDX-License-Identifier: MIT
// A library with pools of its own, which plugin.test.cpp loads and unloads.
#include <muster/multiprocessing/process.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/thread_pool_executor.hpp>

#include <chrono>
#include <string>
#include <thread>

namespace {

using namespace std::chrono_literals;

muster::ThreadPoolExecutor threads(2);
muster::ProcessPoolExecutor processes(1);

int use_threads() {
    for (int i = 0; i < 10; ++i) threads.post([] { std::this_thread::yield(); });
    return threads.submit({.timeout = 1h}, [] { return 1; }).result();
}

int use_processes() {
    int sum = 0;
    processes.submit([] { return 2; }).add_done_callback([&](const auto& two) {
        sum += two.result();
    });
    processes.wait_idle();
    for (int i = 0; i < 10; ++i) processes.post([] {});
    return sum;
}

int use_process() {
    int code = 0;
    std::thread([&] {  // Not the main one: there is a thread then that starts processes for it.
        const muster::multiprocessing::Process process([] {});
        process.start();
        process.join();
        code = process.exit_code().value_or(-1);
    })
        .join();
    return code == 0 ? 3 : -1;
}

}  // namespace

/// Returns when there is work left that ends with the pools.
extern "C" __attribute__((visibility("default"))) int use(const char* what) {
    const std::string kind = what;
    if (kind == "threads") return use_threads();
    if (kind == "processes") return use_processes();
    return use_process();
}
