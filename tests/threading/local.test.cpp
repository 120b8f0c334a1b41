// SPDX-License-Identifier: MIT
// ctest: concurrency
// The names in brackets are those of the cases of CPython's test_threading_local.py.
#include <doctest/doctest.h>

#include <muster/threading/event.hpp>
#include <muster/threading/local.hpp>
#include <muster/threading/thread.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace threading_local_test {

namespace {

using muster::threading::Event;
using muster::threading::local;
using muster::threading::Thread;

// Counts those that exist.
struct Counted {
    explicit Counted(std::atomic<int>& number) : count{&number} { ++*count; }
    Counted(const Counted& other) : count{other.count} { ++*count; }
    ~Counted() { --*count; }
    std::atomic<int>* count;
};

// Runs it in another thread, and waits for that.
template <typename F>
void elsewhere(F fn) {
    const Thread thread{fn};
    thread.start();
    thread.join();
}

// The calling thread's.
template <typename T>
T& thread_locally() {
    static thread_local T value;
    return value;
}

}  // namespace

TEST_CASE("each thread has a value of its own [test_basic]") {
    const local<int> x;
    CHECK(*x == 0);
    *x = 1;
    std::vector<Thread> threads;
    threads.reserve(4);
    std::atomic<int> good{0};
    for (int i = 2; i < 6; ++i) {
        threads.emplace_back([&, x, i] {
            const bool fresh = *x == 0;
            *x = i;
            std::this_thread::yield();
            good += fresh && x.get() == i ? 1 : 0;
        });
        threads.back().start();
    }
    for (const Thread& thread : threads) thread.join();
    CHECK(good == 4);
    CHECK(*x == 1);
    const local<std::vector<int>> numbers;
    numbers->push_back(1);
    elsewhere([&] { numbers->push_back(2); });
    CHECK(*numbers == std::vector{1});
}

TEST_CASE("values start as copies of the initial one, or as what the factory returns") {
    const local<std::string> text{"initial"};
    *text += "!";
    std::string other;
    elsewhere([&] { other = *text; });
    CHECK(*text == "initial!");
    CHECK(other == "initial");

    std::atomic<int> made{0};
    const local<std::unique_ptr<int>> owned{[&made] { return std::make_unique<int>(++made); }};
    CHECK(made == 0);
    CHECK(**owned == 1);
    CHECK(**owned == 1);
    elsewhere([&] { **owned = 5; });
    CHECK(made == 2);
    CHECK(**owned == 1);

    const local<bool> flag{[] { return false; }};
    CHECK_FALSE(*flag);
    const local<std::function<int()>> function{[] { return 7; }};
    CHECK((*function)() == 7);
    const local<std::atomic<int>> immovable{3};
    CHECK(*immovable == 3);
}

TEST_CASE(
    "a copy of a local has the same values, and locals of one type do not [test_two_locals]") {
    local<int> one{1};
    const local<int> copy = one;
    const local<int> other{1};
    *one = 5;
    CHECK(*copy == 5);
    CHECK(*other == 1);
    const local<int> moved = std::move(one);
    CHECK(*moved == 5);
    CHECK(*one == 5);  // NOLINT(bugprone-use-after-move)
    one = other;
    CHECK(*one == 1);
}

TEST_CASE("values go with their thread [test_local_refs, test_threading_local_clear_race]") {
    std::atomic<int> count{0};
    const local<Counted> x{[&count] { return Counted(count); }};
    (void)*x;
    CHECK(count == 1);
    for (int i = 0; i < 20; ++i) elsewhere([&] { (void)*x; });
    CHECK(count == 1);
}

TEST_CASE("values go with the local, of threads too that go on [test_local_refs]") {
    std::atomic<int> count{0};
    const Event used;
    const Event gate;
    const Event read;
    std::optional<local<Counted>> x{std::in_place, [&count] { return Counted(count); }};
    const Thread thread{[&] {
        (void)**x;
        used.set();
        gate.wait();
        for (int i = 0; i < 100; ++i) {  // In the place of the one that went, perhaps.
            const local<int> fresh;
            if (*fresh != 0) return;
            *fresh = 1;
        }
        read.set();
    }};
    thread.start();
    used.wait();
    (void)**x;
    CHECK(count == 2);
    x.reset();
    CHECK(count == 0);
    gate.set();
    thread.join();
    CHECK(read.is_set());
    CHECK(count == 0);
}

TEST_CASE("a value whose making throws is made anew") {
    int calls = 0;
    const local<int> x{[&calls] {
        if (++calls == 1) throw std::runtime_error("no");
        return 8;
    }};
    CHECK_THROWS_AS((void)x.get(), std::runtime_error);
    CHECK(*x == 8);
    CHECK(calls == 2);
}

TEST_CASE("a value's destructor may use its own local, and others, when its thread ends") {
    struct Uses {
        ~Uses() {
            if (own) (*own)->last = &(**own);
            if (other) ***other += 1;
        }
        const local<Uses>* own = nullptr;
        std::optional<local<std::shared_ptr<int>>> other;
        Uses* last = nullptr;
    };
    const auto number = std::make_shared<int>(0);
    const local<std::shared_ptr<int>> counter{number};
    const local<Uses> x;
    elsewhere([&] {
        x->own = &x;
        x->other = counter;
    });
    CHECK(*number == 1);
    CHECK(number.use_count() == 2);  // With the initial value: the thread's copy has gone.
}

TEST_CASE("a local may be used by the last destructors of a thread") {
    struct Late {
        ~Late() {
            if (x) **x += 5;
            if (x) result->store(**x);
        }
        std::optional<local<int>> x;
        std::atomic<int>* result = nullptr;
    };
    const local<int> x;
    std::atomic<int> result{0};
    elsewhere([&] {
        thread_locally<Late>().x = x;  // Made before the thread's table, so it goes after it.
        thread_locally<Late>().result = &result;
        *x = 1;
    });
    CHECK(result == 5);
}

}  // namespace threading_local_test
