// SPDX-License-Identifier: MIT
// A program that forgot the guard. Each start of it adds a line to the file that is its second
// argument; the first one says what its main does: "pool", "run", "return", "fail", "ignore", which
// is to return in a program that ignores SIGCHLD, or "forkserver", which is to run on in a process
// that is to be copied. With "closed" it has the guard, but workers close what they inherit before
// they know that they are any.
#include <muster/entry_guard.hpp>
#include <muster/process_pool_executor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// Earlier than the library's own static objects, which are of this file too.
[[gnu::constructor(101)]] static void close_inherited(int argc, char** argv) {
    if (argc < 2 || std::strcmp(argv[1], "closed") != 0 || !std::getenv("MUSTER_WORKER")) return;
    for (int fd = 3; fd < 100; ++fd) ::close(fd);
}

int main(int, char** argv) {
    using Clock = std::chrono::steady_clock;
    const int starts = ::open(argv[2], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    (void)!::write(starts, muster::in_worker() ? "worker\n" : "parent\n", 7);
    if (std::strcmp(argv[1], "closed") == 0) muster::entry_guard();
    const auto is = [what = argv[1]](const char* word) { return std::strcmp(what, word) == 0; };
    if (muster::in_worker()) {
        if (is("run") || is("forkserver"))
            for (;;) ::pause();
        if (is("return") || is("ignore")) return 0;
        if (is("fail")) return 3;
    }
    if (is("ignore")) std::signal(SIGCHLD, SIG_IGN);
    // Those who run on are given up then, the others at once.
    const std::chrono::seconds limit{is("run") || is("forkserver") ? 5 : 200};
    const auto begun = Clock::now();
    muster::ProcessPoolExecutor pool({.max_workers = 3,
                                      .start_method = is("forkserver")
                                                          ? muster::StartMethod::forkserver
                                                          : muster::StartMethod::spawn,
                                      .start_timeout = limit});
    auto first = pool.submit([] { return 1; });
    auto second = pool.submit([] { return 2; });
    for (const auto& future : {first, second}) {
        try {
            std::printf("result %d\n", future.result());
        } catch (const muster::EntryGuardError& error) {
            std::printf("%s\n", error.what());
        } catch (const std::exception& error) {
            std::printf("another error: %s\n", error.what());
        }
    }
    std::puts(Clock::now() - begun < std::chrono::seconds(100) ? "quickly" : "slowly");
}
