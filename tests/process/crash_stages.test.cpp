// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Everything that can go wrong, at every stage of a task's way, costs one future at most.
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "process/bomb.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace process_crash_stages_test {

namespace {

using muster::Future;
using ProcessPoolExecutor = muster::test::ProcessPool;
using muster::test::Bomb;
using muster::test::Program;
using muster::test::say;
using muster::test::Stage;
using muster::test::Way;
using namespace std::chrono_literals;

struct Loss {
    std::string name;
    Way way;
    std::optional<int> exit_code;
    std::optional<int> signal;
};

const std::vector<Loss> losses{{"exit", Way::exit, 7, {}},
                               {"_exit", Way::end_at_once, 7, {}},
                               {"SIGABRT", Way::abort, -SIGABRT, SIGABRT},
                               {"SIGSEGV", Way::segv, -SIGSEGV, SIGSEGV},
                               {"SIGKILL", Way::kill, -SIGKILL, SIGKILL}};

struct InWorker {
    Stage stage;
    std::string words;
};

const std::vector<InWorker> stages_in_worker{
    {Stage::decode_task, "while it decoded the arguments of task 'bomb'"},
    {Stage::run, "while it ran task 'bomb'"},
    {Stage::encode_result, "while it encoded the result of task 'bomb'"}};

int triple(int x) { return 3 * x; }

// Tasks before and after the bomb; all have to succeed.
struct Neighbours {
    explicit Neighbours(ProcessPoolExecutor& pool) {
        for (int i = 0; i < 4; ++i) futures.push_back(pool.submit(triple, i));
    }
    void check() {
        for (int i = 0; i < 4; ++i) {
            REQUIRE(futures[static_cast<std::size_t>(i)].wait_for(200s));
            CHECK(futures[static_cast<std::size_t>(i)].result() == 3 * i);
        }
    }
    std::vector<Future<int>> futures;
};

bool contains(const std::string& text, const std::string& words) {
    return text.find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("a worker's death at any stage costs the future of that task alone, and says where") {
    for (const int workers : {1, 2}) {
        ProcessPoolExecutor pool(workers);
        for (const InWorker& where : stages_in_worker) {
            for (const Loss& loss : losses) {
                CAPTURE(workers);
                CAPTURE(where.words);
                CAPTURE(loss.name);
                Neighbours before(pool);
                auto future =
                    pool.submit({.name = "bomb"}, muster::test::carry, Bomb{where.stage, loss.way});
                Neighbours after(pool);

                REQUIRE(future.wait_for(200s));
                try {
                    (void)future.result();
                    FAIL("the future has a result");
                } catch (const muster::WorkerCrashed& crash) {
                    CHECK(crash.pid() > 0);
                    CHECK(crash.exit_code() == loss.exit_code);
                    CHECK(crash.signal() == loss.signal);
                    CHECK_MESSAGE(contains(crash.what(), where.words), crash.what());
                    CHECK_MESSAGE(contains(crash.what(), std::to_string(crash.pid())),
                                  crash.what());
                    CHECK_MESSAGE(
                        contains(crash.what(), loss.signal ? loss.name : "left with exit code 7"),
                        crash.what());
                }
                before.check();
                after.check();
                CHECK(pool.submit(triple, 5).result() == 15);
            }
        }
        pool.wait_idle();
        CHECK(pool.stats().crashed == losses.size() * stages_in_worker.size());
    }
}

TEST_CASE("an exception at any stage comes with its type, and the worker lives on") {
    ProcessPoolExecutor pool(1);
    const int pid = pool.submit([] { return static_cast<int>(::getpid()); }).result();
    for (const Stage stage :
         {Stage::decode_task, Stage::run, Stage::encode_result, Stage::decode_result}) {
        CAPTURE(static_cast<int>(stage));
        Neighbours before(pool);
        auto future = pool.submit(muster::test::carry, Bomb{stage, Way::exception});
        Neighbours after(pool);
        REQUIRE(future.wait_for(200s));
        CHECK_THROWS_WITH_AS((void)future.result(), "the bomb went off", std::out_of_range);
        before.check();
        after.check();
    }
    CHECK(pool.submit([] { return static_cast<int>(::getpid()); }).result() == pid);
    pool.wait_idle();
    CHECK(pool.stats().failed == 4);
    CHECK(pool.stats().crashed == 0);
}

TEST_CASE("an exception while a task is encoded is thrown by submit, and nothing is left of it") {
    ProcessPoolExecutor pool(1);
    const Bomb bomb{Stage::encode_task, Way::exception};
    CHECK_THROWS_WITH_AS((void)pool.submit(muster::test::carry, bomb), "the bomb went off",
                         std::out_of_range);
    CHECK_THROWS_AS((void)pool.try_submit(muster::test::carry, bomb), std::out_of_range);
    CHECK_THROWS_AS(pool.post(muster::test::carry, bomb), std::out_of_range);
    CHECK(pool.submit(triple, 5).result() == 15);
    pool.wait_idle();
    CHECK(pool.stats().completed == 1);
    CHECK(pool.stats().failed == 0);
}

TEST_CASE("bytes that are left over or missing cost one future") {
    ProcessPoolExecutor pool(1);
    auto future = pool.submit([] { return muster::test::Uneven{}; });
    CHECK_THROWS_AS((void)future.result(), muster::SerializationError);
    auto task = pool.submit([](muster::test::Uneven) { return 1; }, muster::test::Uneven{});
    task.wait();
    CHECK(pool.submit(triple, 5).result() == 15);
}

// --- the stages that are in the parent: what ends a process there ends the program

TEST_CASE("program: bomb" * doctest::skip()) {
    const std::string argument = muster::test::argument_of_program();  // stage, way, who decodes
    const auto stage = static_cast<Stage>(argument[0] - '0');
    const auto way = static_cast<Way>(argument[1] - '0');
    static ProcessPoolExecutor global(2);
    ProcessPoolExecutor local(2);
    ProcessPoolExecutor& pool = argument[2] == 'g' ? global : local;
    std::string pids;
    for (ProcessPoolExecutor* one : {&global, &local}) {
        one->submit(triple, 1).result();
        for (const int pid : one->stats().pids) pids += std::to_string(pid) + ' ';
    }
    say(pids);
    std::vector<Future<int>> others;
    try {
        for (int i = 0; i < 100; ++i) others.push_back(pool.submit(triple, i));
        auto future = pool.submit(muster::test::carry, Bomb{stage, way});
        for (int i = 0; i < 100; ++i) others.push_back(pool.submit(triple, i));
        if (argument[3] == 'w') future.wait();  // Decoded here or by the pool's own thread.
    } catch (const muster::Error&) {  // That thread has called exit(), and a global pool is gone.
    }
    for (;;) ::pause();  // Decoded by the pool's own thread.
}

TEST_CASE("what ends a process while it encodes a task or decodes a result ends the program") {
    for (const Stage stage : {Stage::encode_task, Stage::decode_result}) {
        for (const Loss& loss : losses) {
            for (const std::string mode : {"lw", "gw", "lm", "gm"}) {
                if (stage == Stage::encode_task && mode[1] == 'm') continue;
                CAPTURE(static_cast<int>(stage));
                CAPTURE(loss.name);
                CAPTURE(mode);
                const std::string argument{static_cast<char>('0' + static_cast<int>(stage)),
                                           static_cast<char>('0' + static_cast<int>(loss.way)),
                                           mode[0], mode[1]};
                Program program = Program::test_case("bomb", argument);
                const auto workers = program.pids();
                CHECK(workers.size() >= 2);
                CHECK(program.exit_code() == loss.exit_code);
                for (const ::pid_t worker : workers) CHECK(muster::test::ends(worker));
            }
        }
    }
}

}  // namespace process_crash_stages_test
