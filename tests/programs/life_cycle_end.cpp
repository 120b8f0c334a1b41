// SPDX-License-Identifier: MIT
// Ends in the way that its second argument names while two tasks run in a pool of the kind that the
// first one names. It says the pool's processes before, and each task says when it is done.
#include <muster/muster.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

namespace mp = muster::multiprocessing;

void say(const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
}

void pass(mp::Semaphore arrivals, mp::Event opening) {
    arrivals.release();
    opening.wait();
    say("done");
}

/// Happens when the program runs its exit handlers, unless it ends without.
mp::Event& exits() {
    static mp::Event event;
    return event;
}

void start_tasks(auto& pool) {
    const mp::Semaphore arrivals(0);
    for (int i = 0; i < 2; ++i) pool.post(pass, arrivals, exits());
    for (int i = 0; i < 2; ++i) arrivals.acquire();
    std::atexit([] { exits().set(); });
    std::string pids;
    if constexpr (requires { pool.stats().pids; })
        for (const int pid : pool.stats().pids) pids += std::to_string(pid) + ' ';
    say(pids);
}

int end(const std::string& way) {
    if (way == "exit") std::exit(3);
    if (way == "exit in a thread") std::thread([] { std::exit(3); }).join();
    if (way == "_exit") ::_exit(3);
    if (way == "quick_exit") std::quick_exit(3);
    if (way == "abort") std::abort();
    if (way == "throw") {
        ::close(STDERR_FILENO);  // Its last words are no news.
        throw std::runtime_error("nobody catches it");
    }
    return 3;
}

int run_threads(const std::string& way) {
    static muster::ThreadPoolExecutor pool(2);
    start_tasks(pool);
    return end(way);
}

int run_processes(muster::StartMethod method, const std::string& way) {
    static muster::ProcessPoolExecutor pool({.max_workers = 2, .start_method = method});
    start_tasks(pool);
    return end(way);
}

}  // namespace

int main(int argc, char** argv) {
    muster::entry_guard();
    if (argc != 3) return 2;
    const ::rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    (void)exits();
    const std::string kind = argv[1], way = argv[2];
    if (kind == "threads") return run_threads(way);
    return run_processes(kind == "fork"         ? muster::StartMethod::fork
                         : kind == "forkserver" ? muster::StartMethod::forkserver
                                                : muster::StartMethod::spawn,
                         way);
}
