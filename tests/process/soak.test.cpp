// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Many tasks, some of which crash, overrun or throw: each outcome is right, and nothing stays behind.
// TEST_SOAK_TASKS=100000 in the environment makes it long.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace process_soak_test {

namespace {

using muster::test::children_of;
using muster::test::open_descriptors;
using muster::test::ProcessPool;
using namespace std::chrono_literals;

std::size_t count_of_tasks() {
    const char* const wanted = std::getenv("TEST_SOAK_TASKS");
    return wanted ? std::stoul(wanted) : 2'000;
}

/// A counter for each task, in a file that the workers map: it outlives them.
class Traces {
  public:
    explicit Traces(std::size_t count) : count_(count) {
        char name[] = "/tmp/muster-soak-XXXXXX";
        const int file = ::mkstemp(name);
        path_ = name;
        const bool sized = ::ftruncate(file, static_cast<::off_t>(count)) == 0;
        counters_ = map(file, count);
        ::close(file);
        if (!sized) throw std::runtime_error("cannot make " + path_);
    }
    Traces(const Traces&) = delete;
    Traces& operator=(const Traces&) = delete;
    ~Traces() {
        ::munmap(counters_, count_);
        ::unlink(path_.c_str());
    }

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int runs_of(std::size_t task) const { return counters_[task].load(); }

    /// For tasks: counts a run. A worker maps the file once.
    static void leave(const std::string& path, std::size_t count, std::size_t task) {
        static const std::string mapped_path = path;
        static Counter* const counters = map(::open(path.c_str(), O_RDWR | O_CLOEXEC), count);
        if (mapped_path != path) throw std::logic_error("a worker serves one pool");
        counters[task].fetch_add(1);
    }

  private:
    using Counter = std::atomic<unsigned char>;
    static Counter* map(int file, std::size_t count) {
        void* const memory = ::mmap(nullptr, count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (memory == MAP_FAILED) throw std::runtime_error("cannot map the traces");
        return static_cast<Counter*>(memory);
    }

    std::size_t count_;
    std::string path_;
    Counter* counters_ = nullptr;
};

enum class Fate { returns, throws, crashes, overruns };

// Spread, so that each comes after each of the others somewhere.
Fate fate_of(std::size_t task) {
    switch (task * 37 % 50) {
        case 7:
            return Fate::throws;
        case 21:
            return Fate::crashes;
        case 40:
            return Fate::overruns;
        default:
            return Fate::returns;
    }
}

std::size_t meet_fate(const std::string& traces, std::size_t count, std::size_t task) {
    Traces::leave(traces, count, task);
    switch (fate_of(task)) {
        case Fate::throws:
            throw std::out_of_range(std::to_string(task));
        case Fate::overruns:
            for (;;) ::pause();
        case Fate::crashes:
            if (task % 3 == 0) ::_exit(3);
            ::raise(task % 3 == 1 ? SIGKILL : SIGTERM);
            std::abort();
        case Fate::returns:
            break;
    }
    return task * task;
}

Fate outcome_of(const muster::Future<std::size_t>& future, std::size_t task) {
    try {
        if (future.result() == task * task) return Fate::returns;
        throw std::runtime_error("a wrong result");
    } catch (const muster::TaskTimeout&) {
        return Fate::overruns;
    } catch (const muster::WorkerCrashed& crash) {
        const int expected = task % 3 == 0 ? 3 : task % 3 == 1 ? -SIGKILL : -SIGTERM;
        if (crash.exit_code() != expected) throw;
        return Fate::crashes;
    } catch (const std::out_of_range& error) {
        if (error.what() != std::to_string(task)) throw;
        return Fate::throws;
    }
}

/// What is shared with other processes. The rest of the memory is the allocator's business.
std::size_t shared_mappings() {
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string range, permissions, line; maps >> range >> permissions;) {
        std::getline(maps, line);
        if (permissions.back() == 's') ++count;
    }
    return count;
}

/// While it lives, what a child of this process leaves behind is this process's own.
class Heir {
  public:
    Heir() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
    Heir(const Heir&) = delete;
    Heir& operator=(const Heir&) = delete;
    ~Heir() { ::prctl(PR_SET_CHILD_SUBREAPER, 0); }
};

struct Belongings {
    std::set<int> descriptors = open_descriptors();
    std::size_t processes = children_of().size();
    std::size_t mappings = shared_mappings();
    friend bool operator==(const Belongings&, const Belongings&) = default;
};

void soak(std::size_t count) {
    Traces traces(count);
    const Heir heir;
    const Belongings before;
    std::vector<int> runs;
    {
        ProcessPool pool(2);
        std::vector<muster::Future<std::size_t>> futures;
        futures.reserve(count);
        for (std::size_t task = 0; task < count; ++task) {
            muster::TaskOptions options{.timeout = 200s};
            if (fate_of(task) == Fate::overruns) options.timeout = 10ms;
            futures.push_back(
                pool.submit(std::move(options), meet_fate, traces.path(), count, task));
        }
        std::size_t wrong = 0, counts[4] = {};
        for (std::size_t task = 0; task < count; ++task) {
            const Fate fate = outcome_of(futures[task], task);
            ++counts[static_cast<std::size_t>(fate)];
            // An overrun may have been seen before the task had come to leave its trace.
            runs.push_back(traces.runs_of(task));
            const bool ran = fate == Fate::overruns ? runs[task] <= 1 : runs[task] == 1;
            if (fate != fate_of(task) || !ran) ++wrong;
        }
        CHECK(wrong == 0);

        pool.wait_idle();
        const auto stats = pool.stats();
        CHECK(stats.completed == counts[0]);
        CHECK(stats.failed == counts[1] + counts[2]);
        CHECK(stats.crashed == counts[2]);
        CHECK(stats.timed_out == counts[3]);
        // A worker each; the last ones may not have been replaced yet.
        CHECK(stats.respawned <= counts[2] + counts[3]);
        CHECK(stats.respawned + 2 >= counts[2] + counts[3]);
        CHECK(stats.pending + stats.running + stats.cancelled + stats.retried == 0);
        CHECK(children_of().size() <= 3);  // A start method may have a process of its own.
    }
    CHECK(Belongings() == before);
    std::size_t again = 0;
    for (std::size_t task = 0; task < count; ++task)
        if (traces.runs_of(task) != runs[task]) ++again;
    CHECK(again == 0);
}

}  // namespace

TEST_CASE("crashes, overruns and exceptions among many tasks: all outcomes right, nothing stays") {
    soak(50);  // What is made once for all pools is made here.
    soak(count_of_tasks());
}

}  // namespace process_soak_test
