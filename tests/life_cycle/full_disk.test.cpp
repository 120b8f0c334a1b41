// SPDX-License-Identifier: MIT
// What needs room on a disk that has none.
#include <muster/multiprocessing/lock.hpp>
#include <muster/multiprocessing/shared_memory.hpp>

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <system_error>

#include "life_cycle/outcome.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace life_cycle_full_disk_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::outcome;
using muster::test::ProcessPool;
using muster::test::Program;
using muster::test::say;

const std::string filling = "/dev/shm/filling";

/// In a view of the file system of its own, in which /dev/shm is small. False if that is forbidden.
bool get_small_disk() {
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m") == 0;
}

void fill() {
    std::ofstream file(filling);
    while (file.write("full", 4).flush()) continue;
}

/// "works", or whether the error says that the disk is full, and for which file.
template <typename Make>
std::string outcome_of(Make make) {
    try {
        make();
        return "works";
    } catch (const std::system_error& error) {
        const bool named = std::string(error.what()).find("full-disk-test") != std::string::npos;
        return error.code() == std::errc::no_space_on_device && named ? "full" : error.what();
    }
}

void say_outcomes() {
    say("memory: " + outcome_of([] { mp::SharedMemory("full-disk-test", 4096).data()[0] = {}; }));
    say("lock: " + outcome_of([] {
            const mp::Lock lock("full-disk-test");
            const std::scoped_lock held(lock);
        }));
    say("pool: " + outcome<ProcessPool>());
    std::size_t files = 0;
    for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/dev/shm"))
        ++files;
    say("files: " + std::to_string(files));
}

}  // namespace

TEST_CASE("program: on a full disk" * doctest::skip()) {
    if (!get_small_disk()) return say("not permitted");
    fill();
    say_outcomes();
    std::filesystem::remove(filling);
    say_outcomes();
}

TEST_CASE("what has a name says that its disk is full, and leaves nothing; the rest needs none") {
    Program program = Program::test_case("on a full disk");
    const std::string first = program.line();
    if (first == "not permitted") {
        MESSAGE("this user cannot try it");
        return;
    }
    CHECK(first == "memory: full");
    CHECK(program.line() == "lock: full");
    CHECK(program.line() == "pool: works");
    CHECK(program.line() == "files: 1");
    CHECK(program.line() == "memory: works");
    CHECK(program.line() == "lock: works");
    CHECK(program.line() == "pool: works");
    CHECK(program.line() == "files: 0");
    CHECK(program.rest() == "");
    CHECK(program.exit_code() == 0);
}

}  // namespace life_cycle_full_disk_test
