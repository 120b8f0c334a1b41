// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Connections over sockets, and listeners, that are given to other processes.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/process_pool.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_listener_passing_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::EndOfFile;
using muster::InvalidStateError;
using muster::test::Copy;
using muster::test::exit_code_of;
using muster::test::falls_asleep;
using muster::test::family_bytes;
using muster::test::open_descriptors;
using muster::test::ProcessPool;
using muster::test::TestedProcess;
using muster::threading::Thread;
using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

constexpr auto patience = 20s;  // Several that wait in vain do so before the whole test is ended.

/// For processes that a test which ends early does not wait for.
const mp::ProcessOptions daemon{.daemon = true};

/// Whether it becomes true in time.
template <typename Condition>
bool soon(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

/// Does something when the test ends, also early.
struct Finally {
    std::function<void()> action;
    ~Finally() { action(); }
};

/// Both ends of a connection in this process.
struct Ends {
    mp::Listener listener;
    mp::Connection client = mp::Client(listener.address());
    mp::Connection server = listener.accept();
};

/// Answers one question with the number of its process.
void answer(const mp::Connection& its) {
    (void)its.recv<std::string>();
    its.send(::getpid());
}
/// Who answers at the other end; 0 if nobody does.
int asked(const mp::Connection& end) {
    end.send("who?");
    return end.poll(patience) ? end.recv<int>() : 0;
}

/// Whether the other end is closed, or is so soon.
bool ends(const mp::Connection& end) {
    try {
        if (end.poll(patience)) (void)end.recv_bytes();
    } catch (const EndOfFile&) {
        return true;
    }
    return false;
}

/// A large message of one process's: bytes that are all the same.
constexpr std::size_t large = 3U << 20U;
Bytes large_message(int number) { return Bytes(large, static_cast<std::byte>(number)); }

}  // namespace

TEST_CASE("a connection reaches a process that started before, in whatever it is sent") {
    ProcessPool pool(1);
    const int worker = pool.submit([] { return ::getpid(); }).result();
    const Ends ends;
    const auto task = pool.submit(answer, ends.server);
    CHECK(asked(ends.client) == worker);
    task.result();

    const mp::Queue<mp::Connection> queue;
    const auto taker =
        pool.submit([](mp::Queue<mp::Connection> its) { answer(its.get().value()); }, queue);
    queue.put(ends.server);
    CHECK(asked(ends.client) == worker);
    taker.result();

    const Ends more;
    const auto [ours, theirs] = mp::Pipe();
    const auto receiver = pool.submit(
        [](mp::Connection its) {
            for (const auto& each : its.recv<std::vector<mp::Connection>>()) answer(each);
        },
        theirs);
    // Of two connections: who has both ends of one may take his own answer.
    ours.send(std::vector{ends.server, more.client});
    CHECK(asked(ends.client) == worker);
    CHECK(asked(more.server) == worker);
    receiver.result();

    // And back again, as what it is.
    const auto client =
        pool.submit([](mp::Client its) { return its; }, mp::Client(ends.listener.address()));
    const mp::Connection server = ends.listener.accept();
    const Thread here{[&] { answer(client.result()); }};
    here.start();
    CHECK(asked(server) == ::getpid());
}

TEST_CASE("the end comes when the last process has let go of its end, also one that is killed") {
    Ends made;
    const mp::Event go;
    const auto hold = [](mp::Connection its, mp::Event its_go) {
        answer(its);
        its_go.wait();
    };
    const TestedProcess killed(daemon, hold, made.server, go), last(daemon, hold, made.server, go);
    for (const auto* each : {&killed, &last}) {
        each->start();
        CHECK(asked(made.client) == each->pid());
    }
    made.server.close();
    CHECK_FALSE(made.client.poll());
    killed.kill();
    REQUIRE(killed.join_for(patience));
    CHECK_FALSE(made.client.poll());
    made.client.send("Is anybody there?");
    go.set();
    REQUIRE(last.join_for(patience));
    REQUIRE(ends(made.client));
    CHECK_THROWS_AS(made.client.send(1), EndOfFile);
}

TEST_CASE("one that nobody receives is open as long as the message is there") {
    Ends made;
    std::optional<mp::Queue<mp::Connection>> queue(std::in_place);
    queue->put(made.server);
    made.server.close();
    CHECK_FALSE(made.client.poll());
    CHECK(queue->get().has_value());
    REQUIRE(ends(made.client));

    Ends dropped;
    queue->put(dropped.server);
    queue->put(dropped.server);
    dropped.server.close();
    CHECK_FALSE(dropped.client.poll());
    queue.reset();
    CHECK(ends(dropped.client));
}

TEST_CASE("who receives one of a process that has ended is told") {
    for (const bool killed : {false, true}) {
        const mp::Listener listener;
        const mp::Queue<mp::Connection> queue;
        const mp::Event sent, go;
        const TestedProcess process(
            daemon,
            [](mp::Queue<mp::Connection> its, std::string address, mp::Event its_sent,
               mp::Event its_go) {
                const mp::Client client(address);
                its.put(client);
                its_sent.set();
                its_go.wait();
            },
            queue, listener.address(), sent, go);
        process.start();
        const mp::Connection server = listener.accept();
        REQUIRE(sent.wait_for(patience));
        killed ? process.kill() : go.set();
        REQUIRE(process.join_for(patience));  // That it has one to hand out keeps nobody.
        CHECK((process.exit_code() == 0) != killed);
        CHECK(ends(server));
        try {
            (void)queue.get();
            FAIL_CHECK("received");
        } catch (const InvalidStateError& error) {
            CHECK(std::string(error.what()).find("has ended") != std::string::npos);
        }
    }
}

TEST_CASE("close() ends what waits in its own process, and nothing in others") {
    const Ends given, full;
    const mp::Event go;
    const auto serve = [](mp::Connection its, mp::Connection other, mp::Event its_go) {
        answer(its);
        its_go.wait();
        answer(its);
        return other.recv_bytes().size();
    };
    ProcessPool pool(1);
    const auto task = pool.submit(serve, given.server, full.client, go);
    (void)asked(given.client);
    const int known = given.server.native_handle();
    CHECK(known >= 0);
    const std::function<void()> calls[] = {
        [&] { (void)given.server.recv_bytes(); },
        [&] { (void)given.server.poll(patience); },
        [&] { full.server.send_bytes(Bytes(8U << 20U)); },
        [&] {
            if (mp::wait({given.server}, patience).size() == 1) (void)given.server.recv_bytes();
        },
    };
    std::atomic<std::size_t> told{0};
    std::vector<Thread> threads;
    for (const auto& call : calls)
        threads.emplace_back([&] {
            try {
                call();
            } catch (const InvalidStateError&) {
                ++told;
            } catch (const std::exception&) {
            }
        });
    const Finally nobody_waits{[&] {
        given.client.close();
        full.client.close();
        go.set();
    }};
    for (const auto& thread : threads) thread.start();
    for (const auto& thread : threads) CHECK(falls_asleep(thread));
    given.server.close();
    full.server.close();
    REQUIRE(soon([&] { return told == std::size(calls); }));
    CHECK_FALSE(given.client.poll());
    go.set();
    CHECK(asked(given.client) != 0);
    // What was begun to be sent is gone.
    CHECK_THROWS_AS((void)task.result(), EndOfFile);
    CHECK(ends(given.client));
}

TEST_CASE("the messages of several processes arrive whole, and so they do when one of them dies") {
    Ends made;
    const auto send = [](mp::Connection its, int number) {
        for (int i = 0; i < 5; ++i) {
            its.send_bytes(large_message(number));
            its.send_bytes(Bytes(1, static_cast<std::byte>(number)));
        }
    };
    const TestedProcess first(daemon, send, made.server, 1), second(daemon, send, made.server, 2);
    first.start();
    second.start();
    std::size_t whole = 0;
    for (int i = 0; i < 20; ++i) {
        REQUIRE(made.client.poll(patience));
        const Bytes got = made.client.recv_bytes();
        if (got == Bytes(got.size(), got.at(0))) whole += got.size();
    }
    CHECK(whole == 10 * large + 10);

    const mp::Event begun;
    const TestedProcess dying(
        daemon,
        [](mp::Connection its, mp::Event its_begun) {
            const Thread thread{[&] { its.send_bytes(large_message(3)); }};
            thread.start();
            if (falls_asleep(thread)) its_begun.set();
        },
        made.server, begun);
    dying.start();
    REQUIRE(begun.wait_for(patience));
    dying.kill();
    REQUIRE(dying.join_for(patience));
    made.server.send("whole");
    REQUIRE(made.client.poll(patience));
    CHECK(made.client.recv<std::string>() == "whole");
}

TEST_CASE("ten thousand that were passed leave nothing behind") {
    const mp::Listener listener;
    const auto pass = [&](int connections, int times) {
        const mp::Queue<mp::Connection> queue;
        const TestedProcess process(
            daemon,
            [](mp::Queue<mp::Connection> its, int count) {
                answer(its.get().value());
                const auto before = open_descriptors();
                for (int i = 1; i < count; ++i) answer(its.get().value());
                if (open_descriptors() != before) ::_exit(2);
            },
            queue, connections * times);
        process.start();
        for (int i = 0; i < connections; ++i) {
            const mp::Client client(listener.address());
            const mp::Connection server = listener.accept();
            for (int k = 0; k < times; ++k) {
                queue.put(server);
                REQUIRE(asked(client) == process.pid());
            }
        }
        REQUIRE(process.join_for(patience));
        CHECK(process.exit_code() == 0);
    };
    (void)exit_code_of(TestedProcess{[] {}});  // What the first one makes stays, and so does this:
    (void)muster::detail::SocketBroker::own();
    const std::size_t descriptors = open_descriptors().size();
    const auto bytes = family_bytes();
    pass(1'000, 10);
    // Fewer, when what was passed before this test was being let go of.
    REQUIRE(soon([&] { return open_descriptors().size() <= descriptors; }));
    CHECK(soon([&] { return family_bytes() <= bytes; }));
}

TEST_CASE(
    "a copy of the process passes on what it has received, and nothing that was not its own") {
    Ends made;
    const mp::Queue<mp::Connection> there, back;
    there.put(made.server);
    const mp::Event end;
    Copy copy([&] {
        try {
            back.put(made.server);
            ::_exit(2);
        } catch (const InvalidStateError&) {
        }
        back.put(there.get().value());
        end.wait();
    });
    const auto received = back.get();
    REQUIRE(received.has_value());
    received->send(7);
    CHECK(made.client.recv<int>() == 7);
    end.set();
    CHECK(copy.join() == 0);
}

TEST_CASE("a listener that is passed is open until the last process closes it") {
    const std::string path = "/tmp/muster-passed-" + std::to_string(::getpid());
    for (const std::string& address : {mp::Listener().address(), path}) {
        std::optional<mp::Listener> listener(address);
        const mp::Event go;
        ProcessPool pool(1);
        const auto task = pool.submit(
            [](mp::Listener its, mp::Event its_go) {
                for (int i = 0; i < 2; ++i) answer(its.accept());
                its_go.wait();
                its.close();
                return its.address();
            },
            *listener, go);
        for (int i = 0; i < 2; ++i) {
            const mp::Client client(address);
            if (i == 0) CHECK(asked(client) != ::getpid());
            if (i == 0) continue;
            listener->close();
            CHECK_FALSE(std::filesystem::exists(path));  // It goes with him who made it.
            CHECK(asked(client) != 0);
        }
        go.set();
        CHECK(task.result() == address);
        CHECK(soon([&] {
            try {
                const mp::Listener again(address);
                return true;
            } catch (const std::system_error&) {
                return false;
            }
        }));
    }
}

}  // namespace multiprocessing_listener_passing_test
