// SPDX-License-Identifier: MIT
// A program that forgot the guard, or reaches it late or never. Each start of it adds a line to the
// file that is its second argument; the first one says what its main does in a process that another
// one started: "return", "fail", "run", "crash", or "start" processes itself. With "guarded" and
// "forkserver" the parent forgets nothing: then it says how a process ended.
#include <muster/multiprocessing/process.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int, char** argv) {
    namespace mp = muster::multiprocessing;
    const int starts = ::open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    (void)!::write(starts, muster::in_worker() ? "worker\n" : "parent\n", 7);
    const auto is = [what = argv[1]](const char* word) { return std::strcmp(what, word) == 0; };
    if (is("guarded")) muster::entry_guard();
    if (muster::in_worker()) {
        if (is("return") || is("forkserver")) return 0;
        if (is("fail")) return 3;
        if (is("run"))
            for (;;) ::pause();
        if (is("crash")) {
            std::signal(SIGABRT, SIG_DFL);
            std::abort();
        }
    }
    using Clock = std::chrono::steady_clock;
    const auto begun = Clock::now();
    // Those who run on are given up then, the others at once.
    const std::chrono::seconds limit{is("run") ? 2 : 200};
    const mp::Process process({.start_method = is("forkserver") ? muster::StartMethod::forkserver
                                                                : muster::StartMethod::spawn,
                               .start_timeout = limit},
                              [] { std::exit(4); });
    for (int i = 0; i < 2; ++i) {
        try {
            process.start();
            process.join();
            std::printf("exit code %d\n", process.exit_code().value_or(-1));
            break;
        } catch (const muster::EntryGuardError& error) {
            std::printf("EntryGuardError: %s\n", error.what());
        } catch (const muster::WorkerCrashed& error) {
            std::printf("WorkerCrashed: %s\n", error.what());
        } catch (const std::exception& error) {
            std::printf("another error: %s\n", error.what());
        }
        std::printf("%d %d\n", process.is_alive() ? 1 : 0, process.pid());
    }
    std::puts(Clock::now() - begun < std::chrono::seconds(100) ? "quickly" : "slowly");
}
