// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What CPython's _test_multiprocessing.py asks of memory with a name, and of what processes leave
// behind, beyond tests/multiprocessing. The names in brackets are the cases' names there.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>

#include "support/family.hpp"
#include "support/process_gate.hpp"
#include "support/tested_process.hpp"

namespace conformance_shared_memory_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::exit_code_of;
using muster::test::ProcessGate;
using Process = muster::test::TestedProcess;

std::string unused_name(const std::string& end) {
    return "test-conformance-" + std::to_string(::getpid()) + "-" + end;
}

/// Whether there is none of that name.
bool is_missing(const std::string& name) {
    try {
        (void)mp::SharedMemory(name);
    } catch (const std::system_error& error) {
        return error.code() == std::errc::no_such_file_or_directory;
    }
    return false;
}

}  // namespace

TEST_CASE(
    "a name must be one that a file can have "
    "[test_shared_memory_name_with_embedded_null, test_too_long_name_resource]") {
    for (const std::string& name : {std::string("with\0null", 9), std::string(1'000, 'x')}) {
        CAPTURE(name);
        CHECK_THROWS_AS(mp::SharedMemory(name, 10), std::invalid_argument);
        CHECK_THROWS_AS(mp::SharedMemory{name}, std::invalid_argument);
        CHECK_THROWS_AS(mp::Lock{name}, std::invalid_argument);
    }
}

TEST_CASE(
    "who knows the name finds the memory, until all have let go [test_shared_memory_basics]") {
    // Adapted: another size is refused, who asks for the same one gets it, and nothing is unlinked
    // by hand.
    const std::string name = unused_name("basics");
    CHECK(is_missing(name));
    std::optional<mp::SharedMemory> made(std::in_place, name, 512);
    CHECK(made->name() == name);
    CHECK(made->size() == 512);
    made->data()[0] = std::byte{42};
    {
        const mp::SharedMemory found(name);
        CHECK(found.size() == 512);
        CHECK(found.data()[0] == std::byte{42});
        found.data()[511] = std::byte{43};
        CHECK(made->data()[511] == std::byte{43});
        CHECK_THROWS_AS(mp::SharedMemory(name, 1'024), muster::InvalidStateError);
        CHECK(mp::SharedMemory(name, 512).data()[0] == std::byte{42});
        made.reset();
        CHECK(mp::SharedMemory(name).data()[511] == std::byte{43});
    }
    CHECK(is_missing(name));
}

TEST_CASE("a name that is free again may be of any size [test_shared_memory_recreate]") {
    const std::string name = unused_name("recreate");
    for (const std::size_t size : {1U, 100'000U, 10U}) {
        const mp::SharedMemory memory(name, size);
        CHECK(memory.size() == size);
        CHECK(std::all_of(memory.span().begin(), memory.span().end(),
                          [](std::byte each) { return each == std::byte{0}; }));
        std::fill(memory.span().begin(), memory.span().end(), std::byte{1});
    }
    CHECK(is_missing(name));
}

TEST_CASE(
    "what a process that was ended had under a name is nobody's "
    "[test_shared_memory_cleaned_after_process_termination, test_resource_tracker]") {
    // Adapted: no tracker unlinks it, but the parent, when it sees the end.
    for (const int signal : {SIGTERM, SIGKILL}) {
        CAPTURE(signal);
        const std::string name = unused_name("ended");
        const ProcessGate gate;
        const Process process{[](const std::string& its, const ProcessGate& its_gate) {
                                  const mp::SharedMemory memory(its, 512);
                                  const mp::Lock lock(its);
                                  lock.lock();
                                  memory.data()[0] = std::byte{1};
                                  its_gate.arrive_and_stay();
                              },
                              name, gate};
        process.start();
        REQUIRE(gate.arrived());
        CHECK(mp::SharedMemory(name).data()[0] == std::byte{1});
        CHECK_FALSE(mp::Lock(name).try_lock());
        process.send_signal(signal);
        process.join();
        CHECK(process.exit_code() == -signal);
        CHECK_FALSE(std::filesystem::exists(muster::test::shm_file("memory", name)));
        {
            const mp::Lock lock(name);
            CHECK_THROWS_AS(lock.lock(), muster::AbandonedLock);
            lock.recover();
            lock.unlock();
        }
        CHECK_FALSE(std::filesystem::exists(muster::test::shm_file("lock", name)));
    }
}

TEST_CASE(
    "memory that another process finds by its name is not freed by its end "
    "[test_shared_memory_untracking]") {
    const std::string name = unused_name("tracking");
    const mp::SharedMemory memory(name, 10);
    const Process process{
        [](const std::string& its) { mp::SharedMemory(its).data()[9] = std::byte{8}; }, name};
    CHECK(exit_code_of(process) == 0);
    CHECK(memory.data()[9] == std::byte{8});
    CHECK_FALSE(is_missing(name));
}

}  // namespace conformance_shared_memory_test
