// SPDX-License-Identifier: MIT
// ctest: start_methods lock=memory skip=thread skip=address
// Sanitizers: they end a worker that gets no memory, where `new` would throw.
// Workers that run out of memory: by a limit that they have, which costs a task, or at the hands of
// the system, which costs a task and a worker. One at a time: the system only says that it killed some.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <list>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <vector>

#include "overload/scale.hpp"
#include "support/asleep.hpp"
#include "support/process_pool.hpp"

namespace overload_memory_test {

namespace {

using muster::Future;
using muster::test::patience;
using muster::test::ProcessPool;

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// What a worker may have beyond what it started with: enough for its usual tasks, little enough to
/// be taken on any machine.
constexpr std::size_t room = 64 * mebibyte;

/// An initializer: from now on the worker gets `room` and no more.
void leave_room() {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const ::rlim_t most = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + room;
    const ::rlimit limit{most, most};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) throw std::runtime_error("cannot set the limit");
}

// Tasks:

std::size_t take_at_once() {
    const std::vector<char> all(2 * room);
    const char* const volatile taken = all.data();  // So that no compiler leaves it out.
    return taken ? all.size() : 0;
}
std::size_t take_by_and_by() {
    std::list<std::array<char, 4096>> all;
    for (;;) all.emplace_back();
}
/// Takes what there is and keeps it, so that nothing is left for whatever comes after it.
std::size_t take_for_good() {
    struct Block {
        Block* next;
    };
    static Block* all = nullptr;
    for (std::size_t size = mebibyte;;) {
        if (void* const memory = ::operator new(size, std::nothrow))
            all = ::new (memory) Block{all};
        else if (size > sizeof(Block))
            size /= 2;
        else
            throw std::bad_alloc();
    }
}
std::size_t receive(const std::string& text) { return text.size(); }
std::string send(std::size_t size) { return std::string(size, 'x'); }

int own_pid() { return static_cast<int>(::getpid()); }

/// Whether the task threw that, and nothing that is derived from it.
template <typename T>
bool is_bad_alloc(const Future<T>& task) {
    if (!task.wait_for(patience)) return false;
    try {
        (void)task.result();
        return false;
    } catch (const std::exception& error) {
        return typeid(error) == typeid(std::bad_alloc);
    }
}

}  // namespace

TEST_CASE("a task that wants more memory than its worker may have throws std::bad_alloc there") {
    ProcessPool pool({.max_workers = 1, .initializer = leave_room});
    const int worker = pool.submit(own_pid).result();
    const std::size_t rounds = muster::test::scale("TEST_OVERLOAD_MEMORY", 5);
    for (std::size_t round = 0; round < rounds; ++round) {
        CHECK(is_bad_alloc(pool.submit(take_at_once)));
        CHECK(is_bad_alloc(pool.submit(take_by_and_by)));
        CHECK(pool.submit(own_pid).result() == worker);
    }
    CHECK(pool.submit(send, room / 4).result() == std::string(room / 4, 'x'));
    pool.wait_idle();
    CHECK(pool.stats().failed == 2 * rounds);
    CHECK(pool.stats().crashed + pool.stats().respawned == 0);
}

TEST_CASE("an argument that does not fit into a worker's memory is std::bad_alloc, and no other") {
    ProcessPool pool({.max_workers = 1, .initializer = leave_room});
    const auto before = pool.submit(receive, std::string("before"));
    const auto large = pool.submit(receive, std::string(2 * room, 'x'));
    const auto after = pool.submit(receive, std::string("behind"));
    CHECK(is_bad_alloc(large));
    CHECK(before.result() == 6);
    CHECK(after.result() == 6);
    CHECK(pool.submit(receive, std::string(room / 4, 'x')).result() == room / 4);
    pool.wait_idle();
    CHECK(pool.stats().crashed == 0);
}

TEST_CASE("std::bad_alloc arrives from a worker to which nothing at all is left") {
    ProcessPool pool({.max_workers = 1, .initializer = leave_room});
    CHECK(is_bad_alloc(pool.submit(take_for_good)));
    CHECK(is_bad_alloc(pool.submit(receive, std::string(mebibyte, 'x'))));
    CHECK(pool.submit(own_pid).result() > 0);
    pool.wait_idle();
    CHECK(pool.stats().failed == 2);
    CHECK(pool.stats().crashed == 0);
}

TEST_CASE("tasks that run out of memory in other workers cost nobody else a result") {
    ProcessPool pool({.max_workers = 2, .initializer = leave_room});
    std::vector<Future<std::size_t>> tasks;
    for (std::size_t i = 0; i < 100; ++i)
        tasks.push_back(i % 20 == 7 ? pool.submit(take_at_once)
                                    : pool.submit([](std::size_t x) { return 3 * x; }, i));
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        REQUIRE(tasks[i].wait_for(patience));
        if (i % 20 == 7)
            CHECK(is_bad_alloc(tasks[i]));
        else
            CHECK(tasks[i].result() == 3 * i);
    }
}

namespace {

/// A control group whose processes have so little memory that the system kills whoever takes more;
/// empty where this machine does not let one be made.
class MemoryGroup {
  public:
    explicit MemoryGroup(std::size_t bytes) {
        for (const auto& [hierarchy, limit] :
             {std::pair("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
              std::pair("/sys/fs/cgroup", "memory.max")}) {
            const std::filesystem::path folder =
                std::filesystem::path(hierarchy) / ("muster-test-" + std::to_string(::getpid()));
            std::error_code refused;
            if (!std::filesystem::create_directory(folder, refused)) continue;
            folder_ = folder;
            if (std::ofstream(folder / limit) << bytes << std::flush) return;
            leave();
        }
    }
    MemoryGroup(const MemoryGroup&) = delete;
    MemoryGroup& operator=(const MemoryGroup&) = delete;
    ~MemoryGroup() { leave(); }

    /// What the calling process writes its id to.
    [[nodiscard]] std::string entrance() const {
        return folder_.empty() ? "" : (folder_ / "cgroup.procs").string();
    }

  private:
    void leave() {
        if (!folder_.empty()) ::rmdir(folder_.c_str());
        folder_.clear();
    }

    std::filesystem::path folder_;
};

/// A task: does not return.
std::size_t exhaust(const std::string& group) {
    if (!(std::ofstream(group) << ::getpid() << std::flush))
        throw std::runtime_error("cannot enter the control group");
    return take_by_and_by();
}

std::string crash_message(const Future<std::size_t>& task) {
    if (!task.wait_for(patience)) return "nothing came";
    try {
        (void)task.result();
        return "a result";
    } catch (const std::exception& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("a worker that the system kills as there is no memory left is told from others") {
    const MemoryGroup group(room);
    if (group.entrance().empty()) {
        MESSAGE("not tested: this machine lets no control group be made");
        return;
    }
    const std::string cause = "because the system had most likely no memory left";
    ProcessPool pool(1);
    for (int round = 0; round < 2; ++round) {
        const std::string eater =
            crash_message(pool.submit({.name = "eater"}, exhaust, group.entrance()));
        CHECK(eater.find("was ended by SIGKILL while it ran task 'eater', " + cause) !=
              std::string::npos);
        const std::string other = crash_message(pool.submit(
            []() -> std::size_t { return static_cast<std::size_t>(::raise(SIGKILL)); }));
        CHECK(other.find("was ended by SIGKILL") != std::string::npos);
        CHECK(other.find("memory") == std::string::npos);
    }
}

TEST_CASE("how many were killed for want of memory is read from what the system says") {
    using muster::detail::os::OomKills;
    CHECK(OomKills::count("pgfault 7\noom_kill 12\ncompact_stall 3\n") == 12);
    CHECK(OomKills::count("pgfault 7\noom_kill 0") == 0);
    for (const char* const silent : {"a 1\noom_kill_other 5\nother_oom_kill 6\n",
                                     "pgfault 7\noom_kill \n", "pgfault 7\noom_kill ", ""})
        CHECK(OomKills::count(silent) == std::nullopt);
}

TEST_CASE("a worker that is killed for its memory costs the task that it ran, and is replaced") {
    ProcessPool pool(1);
    const int worker = pool.submit(own_pid).result();
    const auto eater = pool.submit({.name = "eater"}, [] { ::raise(SIGKILL); });
    const auto after = pool.submit(own_pid);
    REQUIRE(eater.wait_for(patience));
    try {
        eater.result();
        FAIL("no crash");
    } catch (const muster::WorkerCrashed& crash) {
        CHECK(crash.pid() == worker);
        CHECK(crash.signal() == SIGKILL);
        CHECK(std::string(crash.what()).find("was ended by SIGKILL while it ran task 'eater'") !=
              std::string::npos);
    }
    REQUIRE(after.wait_for(patience));
    CHECK(after.result() != worker);
    pool.wait_idle();
    CHECK(pool.stats().crashed == 1);
}

}  // namespace overload_memory_test
