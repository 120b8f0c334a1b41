// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What CPython's _test_multiprocessing.py asks of its Pool, and of the programs that processes run,
// beyond the cases of its executors. The names in brackets are the cases' names there.
#include <muster/multiprocessing.hpp>
#include <muster/wait.hpp>

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "posix/descriptors.hpp"
#include "support/notes.hpp"
#include "support/program.hpp"
#include "support/task_gate.hpp"
#include "support/tested_process.hpp"

namespace conformance_pool_test {

namespace {

using namespace muster::conformance;
using muster::Future;
using muster::ProcessPoolExecutor;
using muster::test::exit_code_of;
using muster::test::Notes;
using muster::test::own_path;
using muster::test::TaskGate;
using Process = muster::test::TestedProcess;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto patience = 200s;

int square(int x) { return x * x; }
int own_pid() { return static_cast<int>(::getpid()); }
int product_behind(const std::string& gate, int x, int y) {
    TaskGate::wait(gate);
    return x * y;
}
int quotient(int x, int y) { return y == 0 ? throw std::domain_error("division by zero") : x / y; }

std::vector<int> numbers(int count) {
    std::vector<int> all;
    for (int i = 0; i < count; ++i) all.push_back(i);
    return all;
}
template <typename Results>
std::vector<int> collect(Results&& results) {
    std::vector<int> all;
    for (const int result : results) all.push_back(result);
    return all;
}

/// Numbers from 0 on, until one of them is asked for that cannot be had.
struct FailsAt {
    struct Iterator {
        using value_type = int;
        using difference_type = std::ptrdiff_t;
        int operator*() const {
            return number == last ? throw std::out_of_range("no more") : number;
        }
        Iterator& operator++() {
            ++number;
            return *this;
        }
        Iterator operator++(int) { return {number++, last}; }
        bool operator==(const Iterator&) const = default;
        int number = 0;
        int last = 0;
    };
    [[nodiscard]] Iterator begin() const { return {0, last}; }
    [[nodiscard]] Iterator end() const { return {last + 1, last}; }
    int last = 0;
};

/// An argument that cannot be written when its number is the last one.
struct Fragile {
    static constexpr int last = 3;
    int number = 0;
    template <typename Archive>
    void serialize(Archive& ar) {
        if (number == last) throw std::runtime_error("cannot be written");
        ar(number);
    }
};

/// No exception of the standard library's.
struct Own {
    const int* where = nullptr;
};

/// A folder for copies of this program and links to it, which goes with all that is in it.
class Folder {
  public:
    Folder() {
        if (::mkdtemp(path_) == nullptr) throw std::runtime_error("cannot make a folder");
        fs::create_directory(path() / "inner");
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { fs::remove_all(path()); }
    [[nodiscard]] fs::path path() const { return path_; }

  private:
    char path_[32] = "/tmp/muster-program-XXXXXX";
};

}  // namespace

TEST_CASE_TEMPLATE("a result that is not there in time may be asked for again [test_async_timeout]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(1));
    TaskGate gate;
    const Future<int> task = pool.submit(product_behind, gate.path(), 6, 7);
    CHECK_THROWS_AS((void)task.result(20ms), muster::TimeoutError);
    gate.open();
    CHECK(task.result(patience) == 42);
}

TEST_CASE_TEMPLATE("map returns before there are results [test_map_async, test_starmap_async]",
                   Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    const std::vector<std::string> gates(10, gate.path());
    auto results = pool.map(product_behind, gates, numbers(10), numbers(10));
    gate.open();
    CHECK(collect(results) == std::vector{0, 1, 4, 9, 16, 25, 36, 49, 64, 81});
}

TEST_CASE_TEMPLATE(
    "callbacks get the result or the error of a pool's task "
    "[test_map_async_callbacks, test_async_error_callback]",
    Kind, EVERY_KIND) {
    // Adapted: one callback a task, for either.
    std::promise<std::string> told[3];
    typename Kind::Pool pool(Kind::options(2));
    for (const int divisor : {2, 0}) {
        pool.submit(quotient, 84, divisor).add_done_callback([&, divisor](const Future<int>& task) {
            try {
                told[divisor].set_value(std::to_string(task.result()));
            } catch (const std::domain_error& error) {
                told[divisor].set_value(error.what());
            }
        });
        auto answer = told[divisor].get_future();
        REQUIRE(answer.wait_for(patience) == std::future_status::ready);
        CHECK(answer.get() == (divisor == 2 ? "42" : "division by zero"));
    }
}

TEST_CASE_TEMPLATE("map of nothing is nothing [test_map_chunksize, test_empty_iterable]", Kind,
                   EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    CHECK(collect(pool.map({.chunksize = 1}, square, std::vector<int>())).empty());
    CHECK(collect(pool.map(square, std::vector<int>())).empty());
    CHECK(collect(pool.map(square, numbers(3))) == std::vector{0, 1, 4});
}

TEST_CASE_TEMPLATE(
    "what the input of map throws comes after the results of what was before it "
    "[test_imap_handle_iterable_exception]",
    Kind, EVERY_KIND) {
    typename Kind::Pool pool(Kind::options(2));
    for (const std::size_t chunksize : {1U, 4U}) {
        std::vector<int> given;
        const auto consume = [&] {
            for (const int result : pool.map({.chunksize = chunksize}, square, FailsAt{7}))
                given.push_back(result);
        };
        CHECK_THROWS_AS(consume(), std::out_of_range);
        CHECK(given == std::vector{0, 1, 4, 9, 16, 25, 36});
    }
}

TEST_CASE_TEMPLATE("results come as soon as they are there [test_imap_unordered]", Kind,
                   EVERY_KIND) {
    // Adapted: as_completed, of the futures of submit.
    typename Kind::Pool pool(Kind::options(2));
    TaskGate gate;
    std::vector<Future<int>> tasks{pool.submit(product_behind, gate.path(), 100, 10)};
    for (const int x : numbers(10)) tasks.push_back(pool.submit(square, x));
    std::vector<int> results;
    for (const Future<int>& task : muster::as_completed(tasks, patience)) {
        results.push_back(task.result());
        if (results.size() == 10) gate.open();
    }
    CHECK(results.back() == 1000);
    std::sort(results.begin(), results.end());
    CHECK(results == std::vector{0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 1000});
}

TEST_CASE("map refuses an argument that cannot be written [test_map_unplicklable]") {
    ProcessPoolExecutor pool(Processes::options(2));
    const auto consume = [&] {
        for (const int x : pool.map([](const Fragile& its) { return its.number; },
                                    std::vector<Fragile>{{1}, {2}, {Fragile::last}}))
            (void)x;
    };
    CHECK_THROWS_WITH_AS(consume(), "cannot be written", std::runtime_error);
    CHECK(pool.submit(square, 3).result() == 9);
}

TEST_CASE("threads do not wrap what a task throws [test_wrapped_exception]") {
    muster::ThreadPoolExecutor pool(1);
    const int here = 0;
    const auto task = pool.submit([&] { throw Own{&here}; });
    try {
        task.result();
        FAIL("nothing was thrown");
    } catch (const Own& own) {
        CHECK(own.where == &here);
    }
}

TEST_CASE(
    "workers are replaced while tasks come, and when no more come "
    "[test_pool_worker_lifetime, test_pool_worker_lifetime_early_close]") {
    auto options = Processes::options(3);
    options.max_tasks_per_child = 10;
    ProcessPoolExecutor pool(std::move(options));
    std::vector<Future<std::pair<int, int>>> tasks;
    for (const int x : numbers(100))
        tasks.push_back(pool.submit([](int y) { return std::pair(own_pid(), y * y); }, x));
    pool.shutdown({.wait = false});
    std::map<int, int> tasks_of;
    for (const int x : numbers(100)) {
        const auto& task = tasks[static_cast<std::size_t>(x)];
        REQUIRE(task.wait_for(patience));
        CHECK(task.result().second == x * x);
        ++tasks_of[task.result().first];
    }
    CHECK(tasks_of.size() >= 10);
    for (const auto& [pid, count] : tasks_of) CHECK(count <= 10);
}

TEST_CASE("a worker for less than one task is refused [test_pool_maxtasksperchild_invalid]") {
    auto options = Processes::options(3);
    options.max_tasks_per_child = 0;
    CHECK_THROWS_AS(ProcessPoolExecutor(std::move(options)), std::invalid_argument);
}

TEST_CASE(
    "a pool whose workers cannot start leaves nothing behind "
    "[TestPoolNotLeakOnFailure.test_release_unused_processes]") {
    const auto fail_in_a_pool = [] {
        ProcessPoolExecutor pool({.max_workers = 5, .executable = "/nowhere/muster-program"});
        std::vector<Future<int>> tasks;
        for (const int x : numbers(5)) tasks.push_back(pool.submit(square, x));
        for (const auto& task : tasks) {
            REQUIRE(task.wait_for(patience));
            CHECK_THROWS_AS((void)task.result(), muster::BrokenProcessPool);
        }
    };
    fail_in_a_pool();  // What is made once for all pools is made here.
    const auto descriptors = muster::test::open_descriptors();
    fail_in_a_pool();
    CHECK(muster::test::open_descriptors() == descriptors);
    CHECK(muster::test::children_of().empty());
}

TEST_CASE("a pool may have far more workers than CPUs [test_large_pool]") {
    // Adapted: workers start with their tasks, and only as many as these need.
#ifdef TEST_SANITIZED
    constexpr int many = 30;
#else
    constexpr int many = 200;
#endif
    ProcessPoolExecutor pool(Processes::options(many));
    std::vector<std::string> expected;
    for (const int x : numbers(many)) expected.push_back(std::to_string(x));
    std::vector<std::string> results;
    for (const std::string& text : pool.map(
             {.chunksize = 1}, [](int x) { return std::to_string(x); }, numbers(many)))
        results.push_back(text);
    CHECK(results == expected);
}

TEST_CASE(
    "workers that started afresh run their exit handlers "
    "[test_worker_finalization_via_atexit_handler_of_multiprocessing]") {
    // Adapted: those that were forked do not, as the contract says.
    static std::string path;
    const Notes notes;
    {
        auto options = Processes::options(1);
        const bool forked = options.start_method == muster::StartMethod::fork;
        ProcessPoolExecutor pool(std::move(options));
        pool.submit(
                [](const std::string& its) {
                    path = its;
                    std::atexit([] { Notes::add(path, "exit handler"); });
                },
                notes.path())
            .result();
        pool.shutdown();
        CHECK(notes.lines().size() == (forked ? 0U : 1U));
    }
}

TEST_CASE("a worker may be another file of this build [test_set_executable]") {
    const Folder folder;
    const fs::path copy = folder.path() / "copy";
    fs::copy_file(own_path(), copy);
    ProcessPoolExecutor pool({.max_workers = 1, .start_timeout = 5min, .executable = copy});
    CHECK(pool.submit(own_path).result() == copy.string());
}

TEST_CASE("a process may close its standard streams [test_error_on_stdio_flush_2]") {
    const Notes notes;
    const Process process{[](const std::string& path) {
                              for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
                                  ::close(fd);
                              Notes::add(path, "ran");
                          },
                          notes.path()};
    CHECK(exit_code_of(process) == 0);
    CHECK(notes.line() == "ran");
}

TEST_CASE("program: started in some way" * doctest::skip()) {
    const Process process{[](const std::string& folder) { fs::current_path(folder); },
                          muster::test::argument_of_program()};
    ProcessPoolExecutor pool(Processes::options(1));
    muster::test::say(std::to_string(exit_code_of(process).value_or(-1)) + " " +
                      std::to_string(pool.submit(square, 7).result()));
}

TEST_CASE(
    "however a program was started, its processes start [test_basic_script, "
    "test_basic_script_no_suffix, test_directory]") {
    // Adapted: a program has one file; what may differ is how it was named.
    const Folder folder;
    fs::create_symlink(own_path(), folder.path() / "link");
    fs::copy_file(own_path(), folder.path() / "name with spaces");
    for (const std::string name : {"link", "inner/../link", "name with spaces"}) {
        CAPTURE(name);
        muster::test::Program program({folder.path() / name, "--no-skip", "--quiet",
                                       "--test-case=program: started in some way"},
                                      folder.path());
        CHECK(program.line() == "0 49");
        CHECK(program.exit_code() == 0);
    }
}

}  // namespace conformance_pool_test
