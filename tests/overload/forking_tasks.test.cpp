// SPDX-License-Identifier: MIT
// ctest: start_methods
// Tasks that start many processes of their own by fork(). These are copies of a worker, with all its
// descriptors and mappings; the pool must not take them for it. TEST_OVERLOAD_CHILDREN in the
// environment says how many a task starts.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "overload/scale.hpp"
#include "support/asleep.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace overload_forking_tasks_test {

namespace {

using muster::Future;
using muster::test::open_process;
using muster::test::patience;
using muster::test::ProcessPool;
using muster::test::say;
using muster::test::TaskGate;
using namespace std::chrono_literals;

using Pids = std::vector<int>;

enum class Children { end_at_once, stay };

std::size_t count_of_children() { return muster::test::scale("TEST_OVERLOAD_CHILDREN", 50); }

/// A task: starts children, and returns their process ids.
Pids start_children(Children kind, std::size_t count) {
    Pids pids;
    for (std::size_t i = 0; i < count; ++i) {
        const ::pid_t pid = ::fork();
        if (pid == -1) throw std::system_error(errno, std::generic_category(), "fork");
        if (pid == 0) {
            if (kind == Children::end_at_once) ::_exit(static_cast<int>(i % 100));
            ::alarm(300);  // At the latest, if there is no test any more that ends it.
            for (;;) ::pause();
        }
        pids.push_back(pid);
    }
    return pids;
}

void arrive_and_stay(const std::string& gate) {
    TaskGate::arrive(gate, 'a');
    for (;;) ::pause();
}

int own_pid() { return static_cast<int>(::getpid()); }

bool lives(::pid_t pid) {
    const int process = open_process(pid);
    if (process == -1) return false;
    ::pollfd end{process, POLLIN, 0};
    const bool ended = ::poll(&end, 1, 0) == 1;
    ::close(process);
    return !ended;
}

std::size_t count_living(const Pids& pids) {
    return static_cast<std::size_t>(std::count_if(pids.begin(), pids.end(), lives));
}

bool all_end(const Pids& pids) { return std::all_of(pids.begin(), pids.end(), muster::test::ends); }

/// What workers leave behind becomes this process's own, which ends it when this goes. So declare it
/// before the pool, whose end is that of its workers.
class Heir {
  public:
    Heir() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
    Heir(const Heir&) = delete;
    Heir& operator=(const Heir&) = delete;
    ~Heir() {
        for (const int pid : left_) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
        ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    }

    /// Starts children by a task of the pool. Their process ids; none if the task does not end.
    Pids start(ProcessPool& pool, Children kind) {
        const auto task = pool.submit(start_children, kind, count_of_children());
        if (!task.wait_for(patience)) return {};
        take(task.result());
        return task.result();
    }
    /// They are, or will be, what a worker leaves behind.
    void take(const Pids& children) { left_.insert(left_.end(), children.begin(), children.end()); }

  private:
    Pids left_;
};

void check_still_works(ProcessPool& pool) {
    std::vector<Future<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(pool.submit([](int x) { return 3 * x; }, i));
    for (int i = 0; i < 100; ++i) {
        const auto& task = tasks[static_cast<std::size_t>(i)];
        REQUIRE(task.wait_for(patience));
        CHECK(task.result() == 3 * i);
    }
}

}  // namespace

TEST_CASE("children that a task starts, and that end, are no business of its pool") {
    Heir heir;
    ProcessPool pool(2);
    for (int i = 0; i < 10; ++i) {
        const Pids children = heir.start(pool, Children::end_at_once);
        REQUIRE(children.size() == count_of_children());
        CHECK(all_end(children));
    }
    check_still_works(pool);
    CHECK(pool.stats().crashed == 0);
    CHECK(pool.stats().respawned == 0);
}

TEST_CASE("children that stay keep no result waiting, nor the end of the pool, and outlive it") {
    Heir heir;
    ProcessPool pool(2);
    const Pids children = heir.start(pool, Children::stay);
    REQUIRE(children.size() == count_of_children());
    check_still_works(pool);
    CHECK(pool.stats().respawned == 0);

    pool.shutdown();

    // They are the application's own.
    CHECK(count_living(children) == children.size());
}

TEST_CASE("a worker that crashes is replaced while children with all that it had live on") {
    Heir heir;
    for (const int signal : {0, SIGKILL, SIGSEGV}) {
        CAPTURE(signal);
        ProcessPool pool(1);
        const int worker = pool.submit(own_pid).result();
        const Pids children = heir.start(pool, Children::stay);
        REQUIRE(children.size() == count_of_children());

        const auto crash = pool.submit(
            [](int by) {
                if (by == 0) ::_exit(3);
                ::signal(by, SIG_DFL);  // A sanitizer's own handler would make it an exit code.
                ::raise(by);
            },
            signal);

        REQUIRE(crash.wait_for(patience));
        try {
            crash.result();
            FAIL("no crash");
        } catch (const muster::WorkerCrashed& error) {
            CHECK(error.pid() == worker);
            CHECK(error.exit_code() == (signal == 0 ? 3 : -signal));
        }
        check_still_works(pool);
        CHECK(pool.submit(own_pid).result() != worker);
        CHECK(count_living(children) == children.size());
    }
}

TEST_CASE("whoever has a worker killed has all killed that it started") {
    enum class Way { kill, time_limit, kill_workers };
    for (const Way way : {Way::kill, Way::time_limit, Way::kill_workers}) {
        CAPTURE(static_cast<int>(way));
        Heir heir;
        ProcessPool pool(1);
        const Pids children = heir.start(pool, Children::stay);
        REQUIRE(children.size() == count_of_children());
        CHECK(count_living(children) == children.size());
        muster::TaskOptions options;
        if (way == Way::time_limit) options.timeout = 10ms;
        TaskGate gate;
        const auto task = pool.submit(std::move(options), arrive_and_stay, gate.path());
        if (way != Way::time_limit) gate.arrival();

        if (way == Way::kill) CHECK(task.kill());
        if (way == Way::kill_workers) pool.kill_workers();

        REQUIRE(task.wait_for(patience));
        CHECK(all_end(children));
        if (way != Way::kill_workers) check_still_works(pool);
    }
}

TEST_CASE("program: has tasks that fork" * doctest::skip()) {
    ProcessPool pool(1);
    const Pids children = pool.submit(start_children, Children::stay, count_of_children()).result();
    std::string line;
    for (const int pid : children) line += std::to_string(pid) + ' ';
    say(line);
    say(std::to_string(pool.submit(own_pid).result()));
    for (;;) ::pause();
}

TEST_CASE("a worker does not outlive its parent, though its children have all that it had") {
    Heir heir;
    auto program = muster::test::Program::test_case("has tasks that fork");
    const Pids children = program.pids();
    REQUIRE(children.size() == count_of_children());
    heir.take(children);
    const Pids worker = program.pids();
    REQUIRE(worker.size() == 1);

    program.kill();

    CHECK(program.exit_code() == -SIGKILL);
    CHECK(all_end(worker));
}

}  // namespace overload_forking_tasks_test
