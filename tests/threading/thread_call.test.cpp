// SPDX-License-Identifier: MIT
// ctest: concurrency
// What a thread runs, and what it knows of itself.
// The names in brackets are those of the cases of CPython's test_threading.py.
#include <doctest/doctest.h>

#include <muster/threading/event.hpp>
#include <muster/threading/queue.hpp>
#include <muster/threading/thread.hpp>

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "sync/backends.hpp"

namespace threading_thread_call_test {

namespace {

using muster::StopToken;
using muster::test::falls_asleep;
using muster::test::patience;
using muster::threading::current_thread;
using muster::threading::Event;
using muster::threading::Queue;
using muster::threading::Thread;
using muster::threading::ThreadInfo;
using muster::threading::ThreadOptions;
using namespace std::chrono_literals;

static_assert(std::copyable<ThreadInfo>);

// Sets an event when it is destroyed.
struct AtEnd {
    explicit AtEnd(Event destroyed) : event{destroyed} {}
    AtEnd(AtEnd&& other) noexcept : event{other.event}, moved_from{other.moved_from} {
        other.moved_from = true;
    }
    ~AtEnd() {
        if (!moved_from) event.set();
    }
    Event event;
    bool moved_from = false;
};

void set(Event event) { event.set(); }

// The calling thread's.
template <typename T>
T& thread_locally() {
    static thread_local T value;
    return value;
}

}  // namespace

TEST_CASE("a call gets its arguments as submit keeps them") {
    std::string text;
    bool as_string = false;
    int sum = 0;
    std::unique_ptr<int> owned;
    const Thread thread{[&](auto s, const std::vector<int>& numbers, std::unique_ptr<int> p) {
                            as_string = std::same_as<decltype(s), std::string>;
                            text = s;
                            for (const int x : numbers) sum += x;
                            owned = std::move(p);
                        },
                        "literal", std::vector{1, 2, 3}, std::make_unique<int>(4)};
    thread.start();
    thread.join();
    CHECK(as_string);
    CHECK(text == "literal");
    CHECK(sum == 6);
    CHECK(*owned == 4);

    const Event event;
    const Thread function(set, event);
    function.start();
    CHECK(event.wait_for(patience));

    struct Counter {
        void add(int x) { value += x; }
        int value = 0;
    };
    Counter counter;
    const Thread member(&Counter::add, &counter, 5);
    member.start();
    member.join();
    CHECK(counter.value == 5);
}

TEST_CASE("a callable is no options, and options may come first") {
    int ran = 0;
    struct Callable {
        int* ran;
        void operator()(const Callable& other) const { *ran += other.ran == ran ? 1 : 0; }
    };
    const Thread plain{Callable{&ran}, Callable{&ran}};
    const Thread named({.name = "reader", .daemon = false}, Callable{&ran}, Callable{&ran});
    const ThreadOptions options{.name = "writer"};
    const Thread kept(options, Callable{&ran}, Callable{&ran});
    for (const Thread* thread : {&plain, &named, &kept}) {
        thread->start();
        thread->join();
    }
    CHECK(ran == 3);
    CHECK(named.name() == "reader");
    CHECK(kept.name() == "writer");
    CHECK_FALSE(named.daemon());
}

TEST_CASE("a thread has a name, and the system knows it [test_name]") {
    std::array<char, 16> system_name{};
    std::string own_name;
    const auto look = [&] {
        ::pthread_getname_np(::pthread_self(), system_name.data(), system_name.size());
        own_name = current_thread().name();
    };
    const Thread thread({.name = "a name of many letters"}, look);
    thread.start();
    thread.join();
    CHECK(thread.name() == "a name of many letters");
    CHECK(own_name == "a name of many letters");
    CHECK(system_name.data() == std::string("a name of many "));
    const Thread one{[] {}};
    const Thread other{[] {}};
    CHECK(one.name().starts_with("Thread-"));
    CHECK(std::stol(other.name().substr(7)) == std::stol(one.name().substr(7)) + 1);
}

TEST_CASE("a thread's id is the system's, known as soon as it is started") {
    std::atomic<long long> seen{0};
    long long own = 0;
    const Event gate;
    const Thread thread{[&] {
        own = current_thread().id();
        seen = ::syscall(SYS_gettid);
        gate.wait();
    }};
    thread.start();
    const long long id = thread.id();
    CHECK(id != 0);
    gate.set();
    thread.join();
    CHECK(seen == id);
    CHECK(own == id);
    CHECK(thread.id() == id);
}

TEST_CASE("a thread that takes a StopToken hears of request_stop") {
    const Event begun;
    const Thread thread{[begun](StopToken stop, int x) {
                            begun.set();
                            while (!stop.stop_requested()) std::this_thread::sleep_for(x * 1ms);
                        },
                        1};
    thread.start();
    begun.wait();
    CHECK_FALSE(thread.join_for(5ms));
    CHECK(thread.request_stop());
    CHECK_FALSE(thread.request_stop());
    CHECK(thread.join_for(patience));
}

TEST_CASE("a stop may be requested before the start") {
    std::atomic<bool> requested{false};
    const Thread thread{[&](StopToken stop) { requested = stop.stop_requested(); }};
    CHECK(thread.request_stop());
    thread.start();
    thread.join();
    CHECK(requested);
}

TEST_CASE("a thread that was not started does nothing, and lets go of its arguments") {
    const auto argument = std::make_shared<int>(1);
    bool ran = false;
    {
        const Thread thread{[&ran](const std::shared_ptr<int>&) { ran = true; }, argument};
        CHECK(argument.use_count() == 2);
    }
    CHECK(argument.use_count() == 1);
    CHECK_FALSE(ran);
}

TEST_CASE("the arguments live until the call has returned, and no longer than the thread") {
    const Event gate;
    const Event destroyed;
    const Thread thread{[gate](const AtEnd&) { gate.wait(); }, AtEnd(destroyed)};
    thread.start();
    CHECK(falls_asleep(thread));
    CHECK_FALSE(destroyed.is_set());
    gate.set();
    CHECK(destroyed.wait_for(patience));
    while (thread.is_alive()) std::this_thread::yield();
    thread.join();

    // They are gone before it stops being alive.
    for (int i = 0; i < 50; ++i) {
        const auto argument = std::make_shared<int>(1);
        const Thread quick{[](const std::shared_ptr<int>&) {}, argument};
        quick.start();
        while (quick.is_alive()) std::this_thread::yield();
        CHECK(argument.use_count() == 1);
    }
}

TEST_CASE(
    "current_thread tells of the calling thread, whoever started it [test_main_thread, "
    "test_foreign_thread]") {
    const ThreadInfo here = current_thread();
    CHECK(here.id() == ::syscall(SYS_gettid));
    CHECK(here.name() == "MainThread");
    CHECK(here.is_alive());
    CHECK_FALSE(here.daemon());
    CHECK(current_thread().id() == here.id());

    std::optional<ThreadInfo> other;
    std::thread foreign([&] {
        ::pthread_setname_np(::pthread_self(), "foreign");
        other = current_thread();
    });
    foreign.join();
    CHECK(other->name() == "foreign");
    CHECK(other->id() != here.id());
    CHECK_FALSE(other->is_alive());

    const Event gate;
    const Event seen;
    const Thread thread({.name = "mine", .daemon = true}, [&] {
        other = current_thread();
        seen.set();
        gate.wait();
    });
    thread.start();
    seen.wait();
    CHECK(other->name() == "mine");
    CHECK(other->id() == thread.id());
    CHECK(other->daemon());
    CHECK(other->is_alive());
    gate.set();
    thread.join();
    CHECK_FALSE(other->is_alive());
}

TEST_CASE("a thread's last destructors may ask for the current thread") {
    struct Late {
        ~Late() {
            if (name)
                name->put(current_thread().name() + (current_thread().is_alive() ? "+" : "-"));
        }
        std::optional<Queue<std::string>> name;
    };
    const Queue<std::string> names;
    const Thread thread({.name = "ours"}, [&] { thread_locally<Late>().name = names; });
    thread.start();
    CHECK(names.get_for(patience) == "ours+");
    std::thread([&] {
        thread_locally<Late>().name = names;  // So it goes after what current_thread() keeps.
        ::pthread_setname_np(::pthread_self(), "theirs");
        (void)current_thread();
    }).join();
    CHECK(names.get_for(patience) == "theirs+");
}

}  // namespace threading_thread_call_test
