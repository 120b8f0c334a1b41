// SPDX-License-Identifier: MIT
// A program with a lock and a queue at namespace scope. Its argument is a start method. It says what
// workers of that kind see in them, and what comes back by them.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string>

namespace mp = muster::multiprocessing;

namespace {

const mp::Lock lock;
const mp::Queue<int> queue(4);

/// Uses those that it has itself, whichever they are, and then the parent's.
int use(const mp::Lock& parents_lock, const mp::Queue<int>& parents_queue, int item) {
    {
        const std::scoped_lock held(lock);
        queue.put(item);
    }
    const int own = queue.get().value_or(0);
    const std::scoped_lock held(parents_lock);
    parents_queue.put(own + 1);
    return own;
}

void run(muster::StartMethod method) {
    const std::chrono::minutes patience{5};
    {
        muster::ProcessPoolExecutor pool(
            {.max_workers = 1, .start_method = method, .start_timeout = patience});
        const int seen = pool.submit(use, lock, queue, 3).result();
        std::printf("pool: %d, %d\n", seen, queue.try_get().value_or(0));
    }
    const mp::ProcessOptions options{.start_method = method, .start_timeout = patience};
    const auto code_of = [](const mp::Process& process) {
        process.start();
        process.join();
        return process.exit_code().value_or(-1);
    };
    const int code = code_of(mp::Process(
        options,
        [](const mp::Lock& its_lock, const mp::Queue<int>& its_queue) {
            std::exit(use(its_lock, its_queue, 5));
        },
        lock, queue));
    std::printf("process: %d, %d\n", code, queue.try_get().value_or(0));
    (void)code_of(mp::Process(options, [] { queue.put(7); }));
    const int left = code_of(mp::Process(options, [] { std::exit(queue.try_get().value_or(0)); }));
    std::printf("left by another process: %d\n", left);
}

}  // namespace

int main(int, char** argv) {
    muster::entry_guard();
    const std::string method = argv[1];
    try {
        run(method == "fork"         ? muster::StartMethod::fork
            : method == "forkserver" ? muster::StartMethod::forkserver
                                     : muster::StartMethod::spawn);
    } catch (const std::exception& error) {
        std::puts(error.what());
        return 9;
    }
    return 0;
}
