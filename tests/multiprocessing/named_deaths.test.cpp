// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What becomes of names when the processes that used them were killed, and their parents see it.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>

#include "support/name.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_named_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Name;
using muster::test::ProcessGate;
using muster::test::ProcessPool;
using muster::test::Program;
using Process = muster::test::TestedProcess;

void use(const std::string& name, const ProcessGate& gate) {
    const mp::SharedMemory memory(name, 64);
    const mp::Lock lock(name);
    gate.arrive_and_stay();
}

/// Has a process do it, and killed then.
void kill_in(void (*what)(const std::string&, const ProcessGate&), const std::string& name) {
    const ProcessGate gate;
    const Process process{what, name, gate};
    process.start();
    REQUIRE(gate.arrived());
    process.kill();
    process.join();
    CHECK(process.exit_code() == -SIGKILL);
}

}  // namespace

TEST_CASE("a name whose last process was killed is gone when its parent has seen that") {
    const Name name;
    SUBCASE("that was its child") { kill_in(use, name); }
    SUBCASE("that was a child of its child") {
        kill_in(
            [](const std::string& its, const ProcessGate& gate) {
                const Process process{use, its, gate};
                process.start();
                process.join();
            },
            name);
    }
    SUBCASE("that was a worker") {
        ProcessPool pool(1);
        const auto task = pool.submit(
            [](const std::string& its) {
                const mp::SharedMemory memory(its, 64);
                const mp::Lock lock(its);
                std::raise(SIGKILL);
            },
            static_cast<const std::string&>(name));
        CHECK_THROWS_AS(task.result(), muster::WorkerCrashed);
    }
    CHECK_FALSE(name.has_memory());
    CHECK_FALSE(name.has_lock());
}

TEST_CASE("a lock that a killed process has left abandoned stays until it was recovered") {
    const Name name;
    const auto recover = [](const auto& lock) {
        CHECK_THROWS_AS(lock.lock(), muster::AbandonedLock);
        lock.recover();
        lock.unlock();
    };
    SUBCASE("an ordinary one") {
        kill_in(
            [](const std::string& its, const ProcessGate& gate) {
                mp::Lock(its).lock();
                gate.arrive_and_stay();
            },
            name);
        CHECK(name.has_lock());
        recover(mp::Lock(name));
    }
    SUBCASE("a recursive one, which is not taken for another") {
        kill_in(
            [](const std::string& its, const ProcessGate& gate) {
                mp::RLock(its).lock();
                gate.arrive_and_stay();
            },
            name);
        CHECK_THROWS_AS(mp::Lock{name}, muster::InvalidStateError);
        CHECK(name.has_lock());
        recover(mp::RLock(name));
    }
    CHECK_FALSE(name.has_lock());
}

TEST_CASE("what another version has made stays, and what was never finished goes") {
    const Name killed, foreign, unfinished, unwritten;
    {
        std::ofstream(foreign.lock()) << std::string(4096, 'x');
        std::ofstream(unfinished.lock()) << std::string(4096, '\0');
        std::ofstream(unwritten.lock());
        std::filesystem::resize_file(unwritten.lock(), 4096);
    }
    kill_in(use, killed);
    CHECK(foreign.has_lock());
    CHECK_FALSE(unfinished.has_lock());
    CHECK_FALSE(unwritten.has_lock());
}

TEST_CASE("what another program uses stays, whatever else was killed") {
    const Name name, other;
    Program program({std::string(TEST_PROGRAMS) + "/named_user", "make", name, ""});
    CHECK(program.line() == "0");
    REQUIRE(program.line() == "written");
    SUBCASE("that used the same name") { kill_in(use, name); }
    SUBCASE("that used another one") {
        kill_in(use, other);
        CHECK_FALSE(other.has_memory());
    }
    CHECK(mp::SharedMemory(name).data()[0] == std::byte{42});
    program.kill(SIGTERM);
    CHECK(program.exit_code() == 0);
    CHECK_FALSE(name.has_memory());
}

TEST_CASE("who sees a death waits for nobody that opens a name, and leaves it to them") {
    const Name name, other;
    {
        muster::detail::os::Fd file;
        do {  // Other tests see deaths, too, and may remove it before it is locked.
            file = muster::detail::os::Fd(
                ::open(name.memory().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
            struct ::flock door {};
            door.l_type = F_WRLCK;
            door.l_whence = SEEK_SET;
            door.l_len = 1;
            REQUIRE(::fcntl(file.get(), F_OFD_SETLKW, &door) == 0);
        } while (!name.has_memory());
        kill_in(use, other);
        CHECK(name.has_memory());
        CHECK_FALSE(other.has_memory());
    }
    kill_in(use, other);
    CHECK_FALSE(name.has_memory());
}

}  // namespace multiprocessing_named_deaths_test
