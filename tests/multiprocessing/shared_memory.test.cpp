// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Memory that worker processes and copies of the process share, without a name and with one.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/family.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_shared_memory_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::family_bytes;
using muster::test::open_descriptors;
using muster::test::ProcessGate;
using muster::test::ProcessPool;
using muster::test::TestedProcess;

bool all_are(const mp::SharedMemory& memory, int value) {
    const auto bytes = memory.span();
    return std::all_of(bytes.begin(), bytes.end(),
                       [value](std::byte each) { return each == std::byte(value); });
}

std::size_t fill_half(mp::SharedMemory memory, bool second) {
    const std::size_t half = memory.size() / 2;
    const auto part = second ? memory.span().subspan(half) : memory.span().first(half);
    std::fill(part.begin(), part.end(), std::byte(9));
    return part.size();
}

std::string unused_name(const std::string& end) {
    return "test-memory-" + std::to_string(::getpid()) + "-" + end;
}
bool exists(const std::string& name) {
    return std::filesystem::exists(muster::test::shm_file("memory", name));
}

/// Whether this process has any file of /dev/shm in its memory.
bool maps_files() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
        if (line.find(" /dev/shm/") != line.npos) return true;
    return false;
}

/// Values with memory inside.
struct Frame {
    int number = 0;
    std::vector<mp::SharedMemory> planes;
};

}  // namespace

TEST_CASE("memory says what it is, and a copy is the same") {
    const mp::SharedMemory memory(1'000);
    const mp::SharedMemory same = memory;
    CHECK(memory.size() == 1'000);
    CHECK(memory.name().empty());
    CHECK(all_are(memory, 0));
    memory.data()[999] = std::byte{3};
    CHECK(same.span().back() == std::byte{3});
    CHECK(same.data() == memory.data());
}

TEST_CASE("a size that is none is refused [test_invalid_shared_memory_creation]") {
    CHECK_THROWS_AS(mp::SharedMemory(0), std::invalid_argument);
    CHECK_THROWS_AS(mp::SharedMemory(-1), std::invalid_argument);
    CHECK_THROWS_AS(mp::SharedMemory(~std::size_t{0}), std::bad_alloc);
}

TEST_CASE("memory has the same bytes in workers that started before it and after it, and no file") {
    ProcessPool pool(2);
    REQUIRE(pool.submit([] { return 1; }).result() == 1);
    const mp::SharedMemory memory(3'000'000);
    CHECK(all_are(memory, 0));
    const auto first = pool.submit(fill_half, memory, false);
    const auto second = pool.submit(fill_half, memory, true);
    CHECK(first.result() + second.result() == 3'000'000);
    CHECK(all_are(memory, 9));
    ProcessPool later(1);
    CHECK(later.submit([](mp::SharedMemory its) { return all_are(its, 9); }, memory).result());
    CHECK_FALSE(maps_files());
    CHECK_FALSE(later.submit(maps_files).result());
}

TEST_CASE(
    "memory reaches a process that already runs, through a queue and inside a value "
    "[test_shared_memory_pickle_unpickle_dead_object]") {
    const mp::Queue<Frame> frames;
    const TestedProcess process(
        [](mp::Queue<Frame> its) {
            while (const auto frame = its.get())
                for (const auto& plane : frame->planes) plane.data()[0] = std::byte(frame->number);
        },
        frames);
    process.start();
    const mp::SharedMemory kept(10);
    frames.put({7, {mp::SharedMemory(5), kept}});  // The first lives in the item alone.
    frames.shutdown();
    process.join();
    CHECK(process.exit_code() == 0);
    CHECK(kept.data()[0] == std::byte{7});
}

TEST_CASE("memory made in a worker comes back as its result [test_shared_memory_pickle_unpickle]") {
    ProcessPool pool(1);
    const auto memory = pool.submit([] {
                                const mp::SharedMemory made(100);
                                made.data()[99] = std::byte{5};
                                return made;
                            })
                            .result();
    CHECK(memory.size() == 100);
    CHECK(memory.data()[99] == std::byte{5});
}

TEST_CASE("memory is freed with the last handle, and is zeros again, however its users end") {
    (void)mp::SharedMemory(1);
    const auto before = family_bytes();
    const auto descriptors = open_descriptors();
    for (const std::size_t size : {1U, 5'000U, 400'000U}) {
        for (int i = 0; i < 3; ++i) {
            const mp::SharedMemory memory(size);
            CHECK(all_are(memory, 0));
            Copy copy([&] {
                std::fill(memory.span().begin(), memory.span().end(), std::byte{1});
                const mp::SharedMemory its_own(size);
                ::raise(SIGKILL);
            });
            CHECK(copy.join() == -SIGKILL);
            CHECK(all_are(memory, 1));
        }
        CHECK(family_bytes() == before);
    }
    CHECK(open_descriptors() == descriptors);
}

TEST_CASE(
    "memory with a name goes to workers, and is there as long as one of them has it "
    "[test_shared_memory_across_processes]") {
    static std::optional<mp::SharedMemory> kept;
    const std::string name = unused_name("workers");
    ProcessPool pool(1);
    REQUIRE(pool.submit([] { return 1; }).result() == 1);
    auto memory = std::make_unique<mp::SharedMemory>(name, 300);
    memory->data()[0] = std::byte{2};
    const auto task = pool.submit(
        [](mp::SharedMemory its) {
            kept = its;
            its.data()[1] = std::byte{3};
            return its;
        },
        *memory);
    CHECK(task.result().name() == name);
    CHECK(task.result().data()[0] == std::byte{2});
    CHECK(memory->data()[1] == std::byte{3});
    CHECK(pool.submit([] { return kept->data()[0] == std::byte{2}; }).result());
    pool.submit([] { kept.reset(); }).result();
    CHECK(exists(name));
    memory.reset();
    CHECK(exists(name));  // The future has it.
    pool.shutdown();
}

TEST_CASE("memory with a name that came back in a future is freed with it") {
    const std::string name = unused_name("future");
    {
        ProcessPool pool(1);
        const mp::SharedMemory memory(name, 10);
        CHECK(pool.submit([](mp::SharedMemory its) { return its; }, memory).result().size() == 10);
        CHECK(exists(name));
    }
    CHECK_FALSE(exists(name));
}

TEST_CASE("a copy of the process counts as a user once it uses the memory, and not before") {
    const std::string name = unused_name("copies");
    auto memory = std::make_unique<mp::SharedMemory>(name, 300);
    memory->data()[0] = std::byte{2};
    std::byte* const bytes = memory->data();
    const ProcessGate user, late;
    Copy using_it([&] {
        memory->data()[1] = std::byte{3};
        user.pass();
        const mp::SharedMemory found(name);
        ::_exit(memory->data()[0] == std::byte{2} && found.data()[1] == std::byte{3} ? 0 : 2);
    });
    REQUIRE(user.arrived());
    CHECK(bytes[1] == std::byte{3});
    Copy coming_late([&] {
        late.pass();
        try {
            (void)memory->data();
        } catch (const muster::InvalidStateError&) {
            ::_exit(bytes[0] == std::byte{2} ? 3 : 4);  // They are mapped, but nobody's.
        }
    });
    REQUIRE(late.arrived());

    memory.reset();
    CHECK(exists(name));
    CHECK(mp::SharedMemory(name).data()[1] == std::byte{3});
    user.open();
    CHECK(using_it.join() == 0);
    // It has ended without destructors: what it left is made anew.
    const mp::SharedMemory another(name, 400);
    CHECK(all_are(another, 0));
    late.open();
    CHECK(coming_late.join() == 3);
    CHECK(all_are(another, 0));
}

}  // namespace multiprocessing_shared_memory_test
