// SPDX-License-Identifier: MIT
// ctest: alone concurrency skip=thread skip=address
// Sanitizers: their own memory is forbidden, too, and ends workers before the library can.
// Workers that the system gives no memory, before main or from then on.
#include <muster/multiprocessing/process.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace {

using muster::ProcessPoolExecutor;
using muster::StartMethod;
using muster::multiprocessing::Process;

constexpr const char* variable = "TEST_STARVED";

enum class From { start, main };

/// While one lives, the next few programs that this one starts get no memory.
class Famine {
  public:
    explicit Famine(int starts, From from = From::start) {
        (void)::mkdtemp(folder_);
        const std::string path = std::string(folder_) + "/" + letter(from);
        for (int i = 0; i < starts; ++i) std::ofstream(path + std::to_string(i));
        ::setenv(variable, folder_, 1);
    }
    Famine(const Famine&) = delete;
    Famine& operator=(const Famine&) = delete;
    ~Famine() {
        ::unsetenv(variable);
        std::filesystem::remove_all(folder_);
    }
    /// How many of them are still to come.
    [[nodiscard]] int left() const {
        int files = 0;
        for (const auto& file : std::filesystem::directory_iterator(folder_))
            files += file.is_regular_file() ? 1 : 0;
        return files;
    }

    static char letter(From from) { return from == From::start ? 's' : 'm'; }

  private:
    char folder_[32] = "/tmp/muster-famine-XXXXXX";
};

/// True for as many starts as there are files. Allocates nothing.
bool starved(From from) noexcept {
    const char* const folder = std::getenv(variable);
    if (!folder || !std::getenv("MUSTER_WORKER")) return false;
    char file[64];
    for (int i = 0; i < 10; ++i)
        if (std::snprintf(file, sizeof file, "%s/%c%d", folder, Famine::letter(from), i) > 0 &&
            ::unlink(file) == 0)
            return true;
    return false;
}

struct Starving {
    explicit Starving(From from) {
        const ::rlimit none{1, 1};
        if (starved(from)) (void)::setrlimit(RLIMIT_AS, &none);
    }
};
// Ahead of the library's own initializers, which are the first to look for what was inherited; and
// behind them.
[[gnu::init_priority(101)]] const Starving from_start(From::start);
const Starving from_main(From::main);

int answer() { return 42; }

}  // namespace

TEST_CASE("a first worker that gets no memory is replaced, and is no missing guard") {
    for (const StartMethod method : {StartMethod::spawn, StartMethod::forkserver}) {
        CAPTURE(static_cast<int>(method));
        const Famine famine(2);
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
        CHECK(pool.submit(answer).result() == 42);
        CHECK(famine.left() == 0);
    }
}

TEST_CASE("workers that get no memory several times in a row break the pool, which says so") {
    for (const StartMethod method : {StartMethod::spawn, StartMethod::forkserver}) {
        CAPTURE(static_cast<int>(method));
        const Famine famine(3);
        ProcessPoolExecutor pool({.max_workers = 1, .start_method = method});
        try {
            pool.submit(answer).result();
            FAIL("no error");
        } catch (const muster::BrokenProcessPool& error) {
            const std::string what = error.what();
            CHECK_MESSAGE(what.find("its workers cannot start") != std::string::npos, what);
            CHECK_MESSAGE(what.find("the system gives it no memory") != std::string::npos, what);
        }
        CHECK(famine.left() == 0);
    }
}

TEST_CASE("a worker that gets no memory from main on is replaced") {
    const Famine famine(2, From::main);
    ProcessPoolExecutor pool({.max_workers = 1});
    CHECK(pool.submit(answer).result() == 42);
    CHECK(famine.left() == 0);
}

TEST_CASE("a Process that gets no memory from main on says so at its start") {
    const Famine famine(1, From::main);
    const Process process([] { ::_exit(7); });
    CHECK_THROWS_AS(process.start(), std::system_error);
    CHECK(famine.left() == 0);
    process.start();
    process.join();
    CHECK(process.exit_code() == 7);
}

TEST_CASE("a Process that gets no memory says so at its start, and may be started again") {
    for (const StartMethod method : {StartMethod::spawn, StartMethod::forkserver}) {
        CAPTURE(static_cast<int>(method));
        const Famine famine(method == StartMethod::spawn ? 1 : 2);  // One server too few is healed.
        const Process process({.start_method = method}, [] { ::_exit(7); });
        try {
            process.start();
            FAIL("no error");
        } catch (const std::system_error& error) {
            CHECK(error.code() == std::errc::not_enough_memory);
            CHECK(std::string(error.what()).find("no memory") != std::string::npos);
        }
        CHECK(process.pid() == 0);
        process.start();
        process.join();
        CHECK(process.exit_code() == 7);
    }
}
