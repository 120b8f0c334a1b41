// SPDX-License-Identifier: MIT
// ctest: concurrency
// Memory and locks that programs find by their names.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "posix/descriptors.hpp"
#include "support/family.hpp"
#include "support/name.hpp"
#include "support/process_gate.hpp"
#include "support/process_pool.hpp"
#include "support/program.hpp"

namespace multiprocessing_named_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::Name;
using muster::test::open_descriptors;
using muster::test::ProcessGate;
using muster::test::ProcessPool;
using muster::test::Program;
using namespace std::chrono_literals;

Program user(const std::string& what, const std::string& name, const std::string& own = "") {
    return Program({std::string(TEST_PROGRAMS) + "/named_user", what, name, own});
}
int end(Program& program) {
    program.kill(SIGTERM);
    return program.exit_code();
}

std::size_t lines_of_maps() {
    std::ifstream maps("/proc/self/maps");
    std::size_t count = 0;
    for (std::string line; std::getline(maps, line);)
        if (line.find("/dev/shm/muster.") != line.npos) ++count;
    return count;
}

template <typename Call>
std::string message_of(Call call) {
    try {
        call();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "none";
}
bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
}

/// Whether there is none of that name, and who says so names it.
bool is_missing(const std::string& name) {
    try {
        (void)mp::SharedMemory(name);
    } catch (const std::system_error& error) {
        return error.code() == std::errc::no_such_file_or_directory && contains(error.what(), name);
    }
    return false;
}

}  // namespace

TEST_CASE("memory that this program has made is found by another, and freed with the last handle") {
    const Name name;
    std::optional<mp::SharedMemory> memory(std::in_place, name, 64);
    memory->data()[0] = std::byte{7};
    CHECK(memory->name() == static_cast<const std::string&>(name));
    Program other = user("find", name);
    CHECK(other.line() == "7");
    REQUIRE(other.line() == "written");
    CHECK(memory->data()[0] == std::byte{42});

    memory.reset();
    CHECK(name.has_memory());
    CHECK(mp::SharedMemory(name).data()[0] == std::byte{42});
    CHECK(end(other) == 0);
    CHECK_FALSE(name.has_memory());
    CHECK(is_missing(name));
}

TEST_CASE("memory that another program has made is found by this one, and outlives its maker") {
    const Name name;
    Program other = user("make", name);
    CHECK(other.line() == "0");
    REQUIRE(other.line() == "written");
    {
        const mp::SharedMemory found(name), made(name, 64);
        CHECK(found.size() == 64);
        CHECK(found.data()[0] == std::byte{42});
        SUBCASE("that ends") { CHECK(end(other) == 0); }
        SUBCASE("that is killed") {
            other.kill();
            CHECK(other.exit_code() == -SIGKILL);
        }
        made.data()[1] = std::byte{43};
        CHECK(mp::SharedMemory(name).data()[1] == std::byte{43});
        CHECK(found.data()[0] == std::byte{42});
    }
    CHECK_FALSE(name.has_memory());
}

TEST_CASE(
    "what is not there and what has another size is refused, with the names and the numbers") {
    const Name name;
    CHECK(is_missing(name));
    const mp::SharedMemory memory(name, 100);
    const std::string refusal = message_of([&] { (void)mp::SharedMemory(name, 101); });
    CHECK(contains(refusal, " 100 "));
    CHECK(contains(refusal, " 101"));
    CHECK_THROWS_AS(mp::SharedMemory(name, 99), muster::InvalidStateError);
    CHECK(mp::SharedMemory(name, 100).size() == 100);

    Program other = user("make", name);
    CHECK(contains(other.line(), "64"));
    CHECK(other.exit_code() == 9);
    CHECK(name.has_memory());
}

TEST_CASE("names that no file can have are refused, and sizes that no machine has") {
    for (const std::string& bad : {std::string(), std::string("a/b"), std::string("/"),
                                   std::string("a\0b", 3), std::string(201, 'x')}) {
        CAPTURE(bad);
        CHECK_THROWS_AS(mp::SharedMemory{bad}, std::invalid_argument);
        CHECK_THROWS_AS(mp::SharedMemory(bad, 5), std::invalid_argument);
        CHECK_THROWS_AS(mp::Lock{bad}, std::invalid_argument);
        CHECK_THROWS_AS(mp::RLock{bad}, std::invalid_argument);
    }
    const std::string longest = "test-" + std::to_string(::getpid()) + std::string(200, 'x');
    CHECK(mp::SharedMemory(longest.substr(0, 200), 1).size() == 1);
    const Name name;
    CHECK_THROWS_AS(mp::SharedMemory(name, 0), std::invalid_argument);
    CHECK_THROWS_AS(mp::SharedMemory(name, -5), std::invalid_argument);
    CHECK_THROWS_AS(mp::SharedMemory(name, ~std::size_t{0}), std::bad_alloc);
    CHECK_THROWS_AS(mp::SharedMemory(name, std::size_t{1} << 60), std::system_error);
    CHECK_FALSE(name.has_memory());
}

TEST_CASE("what programs have left that were all killed is nobody's: the next one finds zeros") {
    const Name name;
    Program first = user("make", name);
    CHECK(first.line() == "0");
    REQUIRE(first.line() == "written");
    Program second = user("find", name);
    CHECK(second.line() == "42");
    for (Program* each : {&first, &second}) {
        each->kill();
        CHECK(each->exit_code() == -SIGKILL);
    }
    SUBCASE("in memory of any size") {
        const mp::SharedMemory memory(name, 1000);
        CHECK(memory.size() == 1000);
        CHECK(memory.data()[0] == std::byte{0});
    }
    SUBCASE("or none, unless it makes it") { CHECK(is_missing(name)); }
    CHECK_FALSE(name.has_memory());
}

TEST_CASE("a file that nobody uses is made anew, and a link is not followed") {
    const Name name, target;
    std::ofstream(name.memory()) << "something else";
    CHECK(mp::SharedMemory(name, 10).data()[0] == std::byte{0});
    CHECK_FALSE(name.has_memory());
    std::ofstream(name.lock()) << "something else";
    CHECK_FALSE(mp::Lock(name).locked());
    CHECK_FALSE(name.has_lock());
    std::ofstream(target.memory()) << "untouched";
    std::filesystem::create_symlink(target.memory(), name.memory());
    CHECK_THROWS_AS(mp::SharedMemory(name, 10), std::system_error);
    CHECK(std::filesystem::file_size(target.memory()) == 9);
}

TEST_CASE("programs that come and go at once never see what is half made, and lose nothing") {
    const Name name;
    std::deque<Program> programs;
    for (int i = 0; i < 6; ++i)
        programs.emplace_back(std::vector<std::string>{std::string(TEST_PROGRAMS) + "/named_user",
                                                       "churn", name, std::to_string(i)});
    for (Program& program : programs) {
        CHECK(program.rest() == "");
        CHECK(program.exit_code() == 0);
    }
    CHECK_FALSE(name.has_memory());
    CHECK_FALSE(name.has_lock());
}

TEST_CASE("whoever is killed while it comes and goes, the others see what is whole, or are told") {
    const Name name;
    const auto add_one = [&] {  // To both bytes, which are equal whenever nobody holds the lock.
        const mp::SharedMemory pair(name, 5'000);
        const mp::Lock lock(name);
        try {
            lock.lock();
        } catch (const muster::AbandonedLock&) {
            lock.recover();
            pair.data()[1] = pair.data()[0];
        }
        const bool whole = pair.size() == 5'000 && pair.data()[0] == pair.data()[1];
        for (const std::size_t i : {0U, 1U})
            pair.data()[i] = std::byte(std::to_integer<int>(pair.data()[i]) + 1);
        lock.unlock();
        return whole;
    };
    for (int i = 0; i < 100; ++i) {
        Copy copies[2] = {};
        for (Copy& copy : copies)
            copy = Copy([&] {
                while (add_one()) continue;
            });
        for (int n = 0; n < 1 + i / 2; ++n) REQUIRE(add_one());
        for (Copy& copy : copies) CHECK(copy.kill() == -SIGKILL);
    }
    CHECK(add_one());
    CHECK(is_missing(name));
    CHECK_FALSE(name.has_lock());
}

TEST_CASE("a lock with a name keeps another program out, and waits for it") {
    const Name name;
    const mp::Lock lock(name);
    Program other = user("lock", name);
    REQUIRE(other.line() == "locked");
    CHECK(lock.locked());
    CHECK_FALSE(lock.try_lock());
    CHECK_FALSE(lock.try_lock_for(1ms));
    CHECK_THROWS_AS(lock.unlock(), muster::InvalidStateError);
    other.kill(SIGTERM);
    lock.lock();
    CHECK(other.exit_code() == 0);
    Program next = user("lock", name);
    lock.unlock();
    CHECK(next.line() == "locked");
    CHECK(end(next) == 0);
    CHECK_FALSE(lock.locked());
}

TEST_CASE("when a program is killed that holds a lock with a name, the others are told") {
    const Name name;
    std::optional<mp::Lock> before;
    SUBCASE("who had it") { before.emplace(name); }
    SUBCASE("who open it later") {}
    Program holder = user("lock", name);
    REQUIRE(holder.line() == "locked");
    holder.kill();
    CHECK(holder.exit_code() == -SIGKILL);
    before.reset();
    for (int i = 0; i < 2; ++i) {
        const mp::Lock lock(name);
        CHECK_THROWS_AS(lock.lock(), muster::AbandonedLock);
        CHECK_THROWS_AS((void)lock.try_lock(), muster::AbandonedLock);
        CHECK_THROWS_AS((void)lock.try_lock_for(1s), muster::AbandonedLock);
    }
    {
        const mp::Lock lock(name);
        Program other = user("lock", name);
        CHECK(contains(other.line(), "recover()"));
        CHECK(other.exit_code() == 9);
        lock.recover();
        lock.unlock();
        CHECK(lock.try_lock());
        lock.unlock();
    }
    CHECK_FALSE(name.has_lock());
}

TEST_CASE("a lock with a name whose handles are dropped while it is held stays held") {
    const Name name;
    const ProcessGate gate, dropped_again;
    Copy copy([&] {
        mp::Lock(name).lock();
        gate.pass();
        const mp::Lock same(name);
        same.unlock();
        same.lock();
        dropped_again.arrive_and_stay();
    });
    REQUIRE(gate.arrived());
    CHECK_FALSE(mp::Lock(name).try_lock());
    CHECK(name.has_lock());
    gate.open();
    REQUIRE(dropped_again.arrived());
    CHECK_FALSE(mp::Lock(name).try_lock());
    CHECK(copy.kill() == -SIGKILL);
    const mp::Lock lock(name);
    CHECK_THROWS_AS(lock.lock(), muster::AbandonedLock);
    lock.recover();
    lock.unlock();
}

TEST_CASE("handles of one name in one process are one lock, recursive or not, but not both") {
    const Name name;
    {
        const mp::RLock lock(name), same(name);
        lock.lock();
        same.lock();
        same.unlock();
        CHECK(same.locked());
        CHECK(Copy([&] { ::_exit(mp::RLock(name).try_lock() ? 1 : 0); }).join() == 0);
        lock.unlock();
        CHECK_FALSE(same.locked());
        CHECK_THROWS_AS(mp::Lock{name}, muster::InvalidStateError);
    }
    const mp::Lock lock(name), same(name);
    lock.lock();
    CHECK_FALSE(same.try_lock());
    CHECK_THROWS_AS(same.lock(), muster::InvalidStateError);
    same.unlock();
    CHECK(same.try_lock());
    lock.unlock();
    CHECK_THROWS_AS(mp::RLock{name}, muster::InvalidStateError);
}

TEST_CASE("a lock with a name goes to workers as an argument, and a condition waits with it") {
    const Name name;
    const mp::Lock lock(name);
    const mp::Condition changed;
    const mp::SharedArray<int> numbers(2);
    ProcessPool pool(1);
    std::unique_lock held(lock);
    const auto task = pool.submit(
        [](mp::Lock its, mp::Condition condition, mp::SharedArray<int> array) {
            for (int i = 0; i < 1000; ++i) {
                const std::scoped_lock within(its);
                ++array[0];
            }
            const std::scoped_lock within(its);
            array[1] = 1;
            condition.notify_all();
        },
        lock, changed, numbers);
    CHECK(numbers[0] == 0);
    CHECK(changed.wait_for(held, 200s, [&] { return numbers[1] == 1; }));
    CHECK(numbers[0] == 1000);
    CHECK(held.owns_lock());
    CHECK(Copy([&] { ::_exit(lock.try_lock() ? 1 : 0); }).join() == 0);
    held.unlock();
    CHECK_NOTHROW(task.result());
}

TEST_CASE("names cost descriptors and mappings only as long as they are used") {
    const Name name;
    const mp::Lock busy(name);
    (void)busy.try_lock();  // Dropping other handles then is no reason to keep them.
    const auto descriptors = open_descriptors();
    const auto maps = lines_of_maps();
    for (int i = 0; i < 100; ++i) {
        const mp::SharedMemory memory(name, 10'000), same(name);
        const mp::Lock lock(name);
        CHECK_FALSE(lock.try_lock());
        CHECK_THROWS_AS(mp::SharedMemory(name, 1), muster::InvalidStateError);
    }
    std::thread([&] { CHECK_FALSE(mp::Lock(name).try_lock()); }).join();
    CHECK(open_descriptors() == descriptors);
    CHECK(lines_of_maps() == maps);
    busy.unlock();
}

}  // namespace multiprocessing_named_test
