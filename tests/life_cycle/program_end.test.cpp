// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Ends of a program, and of a scope, while tasks run.
#include <doctest/doctest.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/executors.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"

namespace life_cycle_program_end_test {

namespace {

using muster::test::Program;
using muster::test::TaskGate;
using muster::test::tested_start_method;

std::string tested_kind() {
    switch (tested_start_method()) {
        case muster::StartMethod::fork:
            return "fork";
        case muster::StartMethod::forkserver:
            return "forkserver";
        case muster::StartMethod::spawn:
            break;
    }
    return "spawn";
}

struct End {
    std::string way;
    int exit_code;
    std::string rest;  ///< What the tasks still say.
};

}  // namespace

TEST_CASE("a program that ends while tasks run lets them end if it runs exit handlers, or none") {
    const std::string done = "done\ndone\n";
    for (const std::string& kind : {std::string("threads"), tested_kind()})
        for (const End& end : std::vector<End>{{"return", 3, done},
                                               {"exit", 3, done},
                                               {"exit in a thread", 3, done},
                                               {"_exit", 3, ""},
                                               {"quick_exit", 3, ""},
                                               {"abort", -SIGABRT, ""},
                                               {"throw", -SIGABRT, ""}}) {
            CAPTURE(kind);
            CAPTURE(end.way);
            Program program({std::string(TEST_PROGRAMS) + "/life_cycle_end", kind, end.way});
            const auto workers = program.pids();
            CHECK(workers.size() == (kind == "threads" ? 0 : 2));
            CHECK(program.rest() == end.rest);
            CHECK(program.exit_code() == end.exit_code);
            for (const ::pid_t worker : workers) CHECK(muster::test::ends(worker));
        }
}

TEST_CASE_TEMPLATE("an exception that leaves the scope of a pool arrives when its tasks have ended",
                   Pool, EVERY_POOL) {
    muster::Future<char> running, queued;
    const auto leave = [&] {
        Pool pool(1);
        TaskGate gate;  // Opens when it goes, just before the pool.
        running = pool.submit(TaskGate::pass, gate.path(), 'a');
        queued = pool.submit([] { return 'b'; });
        (void)gate.arrival();
        throw std::out_of_range("on the way out");
    };
    CHECK_THROWS_AS(leave(), std::out_of_range);
    REQUIRE(running.done());
    REQUIRE(queued.done());
    CHECK(running.result() == 'a');
    CHECK(queued.result() == 'b');
}

TEST_CASE_TEMPLATE("a member pool whose owner's constructor throws is ended", Pool, EVERY_POOL) {
    struct Service {
        explicit Service(muster::Future<int>& task) {
            task = pool.submit([] { return 7; });
            throw std::length_error("a service that cannot be");
        }
        Pool pool{1};
    };
    muster::Future<int> task;
    CHECK_THROWS_AS(Service{task}, std::length_error);
    REQUIRE(task.done());
    CHECK(task.result() == 7);
}

}  // namespace life_cycle_program_end_test
