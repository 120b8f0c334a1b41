// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// Conversations between processes: messages arrive whole and in order, and each side learns that the
// other one is gone.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/asleep.hpp"
#include "support/family.hpp"
#include "support/process_pool.hpp"
#include "support/tested_process.hpp"

namespace multiprocessing_pipe_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::falls_asleep;
using muster::test::patience;
using muster::test::ProcessPool;
using muster::test::TestedProcess;
using muster::threading::Thread;
using namespace std::chrono_literals;

/// Sends back what it receives, to the end. How many messages there were.
int echo(mp::Connection its) {
    for (int count = 0;; ++count) {
        try {
            its.send_bytes(its.recv_bytes());
        } catch (const muster::EndOfFile&) {
            return count;
        }
    }
}

std::vector<std::byte> some_bytes(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
    return bytes;
}

/// What leaves a call that waits, when another thread ends it. That it does not return at all is a
/// failure, too.
template <typename Error, typename Call, typename Ender>
void check_ended_by(Call call, Ender end) {
    std::atomic<bool> told{false};
    const Thread caller{[&] {
        try {
            call();
        } catch (const Error&) {
            told = true;
        }
    }};
    caller.start();
    REQUIRE(falls_asleep(caller));
    CHECK(caller.is_alive());
    end();
    REQUIRE(caller.join_for(patience));
    CHECK(told);
}

}  // namespace

TEST_CASE("values cross both ways, in order, to a worker that started before the pipe was made") {
    ProcessPool pool(1);
    REQUIRE(pool.submit([] { return 1; }).result() == 1);
    const auto [ours, theirs] = mp::Pipe();
    const auto task = pool.submit(
        [](mp::Connection its) {
            auto words = its.recv<std::map<std::string, int>>();
            const auto word = its.recv<std::string>();
            words[word] = its.recv<int>();
            its.send(words);
            its.send("done");
        },
        theirs);
    theirs.close();
    ours.send(std::map<std::string, int>{{"one", 1}});
    ours.send("two");
    ours.send(2);
    CHECK(ours.recv<std::map<std::string, int>>() ==
          std::map<std::string, int>{{"one", 1}, {"two", 2}});
    CHECK(ours.recv<std::string>() == "done");
    task.result();
}

TEST_CASE("bytes of any number come back as they were sent") {
    ProcessPool pool(1);
    const auto [ours, theirs] = mp::Pipe();
    const auto task = pool.submit(echo, theirs);
    theirs.close();
    for (const std::size_t size : {0U, 1U, 100U, 4096U, 65'536U, 1U << 20U, 16U << 20U, 3U}) {
        const auto message = some_bytes(size);
        ours.send_bytes(message);
        CHECK(ours.recv_bytes() == message);
    }
    ours.send_bytes("text");
    CHECK(ours.recv_bytes().size() == 4);
    ours.close();
    CHECK(task.result() == 9);
}

TEST_CASE(
    "an end goes through queues and pipes, and inside other values [test_pickling, test_access]") {
    ProcessPool pool(1);
    const mp::Queue<std::pair<std::string, mp::Connection>> queue;
    const auto [ours, theirs] = mp::Pipe();
    {
        const auto [inner, outer] = mp::Pipe();
        ours.send(inner);
        queue.put({"outer", outer});
    }
    const auto task = pool.submit(
        [](mp::Connection its, mp::Queue<std::pair<std::string, mp::Connection>> items) {
            const auto inner = its.recv<mp::Connection>();
            const auto [name, outer] = *items.get();
            inner.send(name + "!");
            return outer.recv<std::string>();
        },
        theirs, queue);
    CHECK(task.result() == "outer!");
}

TEST_CASE("after the other end has closed comes what it had sent, and then its end") {
    const auto [a, b] = mp::Pipe();
    a.send(1);
    a.send(2);
    b.send(3);
    const mp::Connection copy = a;
    a.close();
    CHECK(copy.closed());
    CHECK(b.poll());
    CHECK(b.recv<int>() == 1);
    CHECK(b.recv<int>() == 2);
    CHECK(b.poll());
    for (int i = 0; i < 2; ++i) {
        CHECK_THROWS_AS((void)b.recv<int>(), muster::EndOfFile);
        CHECK_THROWS_AS(b.send(4), muster::EndOfFile);
        CHECK_THROWS_AS(copy.send(5), muster::InvalidStateError);
        CHECK_THROWS_AS((void)copy.recv<int>(), muster::InvalidStateError);
        CHECK_THROWS_AS((void)copy.poll(), muster::InvalidStateError);
        CHECK_THROWS_AS((void)copy.native_handle(), muster::InvalidStateError);
        CHECK_THROWS_AS((void)muster::serialize(copy), muster::InvalidStateError);
        copy.close();
    }
}

TEST_CASE("an end is open as long as any process has it, and no longer") {
    ProcessPool pool(2);
    const auto [ours, theirs] = mp::Pipe();
    const mp::Event go;
    const auto answer = [](mp::Connection its, mp::Event its_go) {
        its_go.wait();
        its.send(::getpid());
    };
    const auto first = pool.submit(answer, theirs, go);
    const auto second = pool.submit(answer, theirs, go);
    theirs.close();  // Its argument may be on its way.
    CHECK_FALSE(ours.poll());
    go.set();
    const int one = ours.recv<int>();
    CHECK(one != ::getpid());
    (void)ours.recv<int>();
    first.result();
    second.result();
    CHECK_THROWS_AS((void)ours.recv<int>(), muster::EndOfFile);
}

TEST_CASE(
    "an end that is moved into the arguments of a process is that one's alone [test_spawn_close]") {
    for (const bool killed : {false, true}) {
        auto [ours, theirs] = mp::Pipe();
        const TestedProcess process(
            {.daemon = true},
            [](mp::Connection its) {
                its.send("begun");
                (void)its.recv<int>();
            },
            std::move(theirs));
        CHECK(theirs.closed());    // NOLINT(bugprone-use-after-move): that is the promise.
        CHECK_FALSE(ours.poll());  // The process that is to start has it.
        process.start();
        REQUIRE(ours.poll(patience));
        CHECK(ours.recv<std::string>() == "begun");
        killed ? process.kill() : ours.send(1);
        REQUIRE(ours.poll(patience));
        CHECK_THROWS_AS((void)ours.recv<int>(), muster::EndOfFile);
        REQUIRE(process.join_for(patience));
        CHECK((process.exit_code() == 0) != killed);
    }
}

TEST_CASE("an end is where it was moved to, and one that was moved from is closed") {
    auto [a, b] = mp::Pipe();
    mp::Connection moved = std::move(a);
    // NOLINTBEGIN(bugprone-use-after-move): what these do is promised.
    CHECK(a.closed());
    CHECK(a != moved);
    a.close();
    CHECK_THROWS_AS(a.send(1), muster::InvalidStateError);
    CHECK_THROWS_AS(a.send_bytes("1"), muster::InvalidStateError);
    CHECK_THROWS_AS((void)a.recv<int>(), muster::InvalidStateError);
    CHECK_THROWS_AS((void)a.recv_bytes(), muster::InvalidStateError);
    CHECK_THROWS_AS((void)a.poll(), muster::InvalidStateError);
    CHECK_THROWS_AS((void)a.poll(patience), muster::InvalidStateError);
    CHECK_THROWS_AS((void)a.native_handle(), muster::InvalidStateError);
    CHECK_THROWS_WITH_AS((void)muster::serialize(a), "muster: this Connection was moved from",
                         muster::InvalidStateError);
    moved.send(1);
    a = std::move(moved);
    a.send(2);
    CHECK(b.recv<int>() == 1);
    CHECK(b.recv<int>() == 2);
    CHECK(moved.closed());
    // NOLINTEND(bugprone-use-after-move)
    a = mp::Pipe().first;  // The one it was goes.
    REQUIRE(b.poll(patience));
    CHECK_THROWS_AS((void)b.recv<int>(), muster::EndOfFile);
}

TEST_CASE("who waits for a message of a worker that dies is told") {
    ProcessPool pool(1);
    const auto [ours, theirs] = mp::Pipe();
    const auto task = pool.submit(
        [](mp::Connection its) {
            its.send("last words");
            if (its.recv<int>() == 1) ::_exit(3);
        },
        theirs);
    theirs.close();
    CHECK(ours.recv<std::string>() == "last words");
    check_ended_by<muster::EndOfFile>([&, &ours = ours] { (void)ours.recv<int>(); },
                                      [&, &ours = ours] { ours.send(1); });
    CHECK_THROWS_AS(task.result(), muster::WorkerCrashed);
    CHECK_THROWS_AS(ours.send(1), muster::EndOfFile);
}

TEST_CASE("a copy of the process holds an end open only once it has used it") {
    const auto [a, b] = mp::Pipe();
    const mp::Event used, end;
    Copy idle([&] { end.wait(); });
    {
        Copy user([&, &a = a] {
            a.send(1);
            used.set();
            end.wait();
        });
        used.wait();
        a.close();
        CHECK(b.recv<int>() == 1);
        CHECK_FALSE(b.poll());
        end.set();
        CHECK(user.join() == 0);
    }
    CHECK_THROWS_AS((void)b.recv<int>(), muster::EndOfFile);
    CHECK(idle.join() == 0);
}

TEST_CASE("who sends much waits until some of it is received") {
    const auto [a, b] = mp::Pipe();
    std::atomic<int> sent{0};
    const Thread sender{[&, &a = a] {
        for (int i = 0; i < 3; ++i, ++sent) a.send_bytes(some_bytes(600'000));
    }};
    sender.start();
    REQUIRE(falls_asleep(sender));
    CHECK(sent == 1);
    for (int i = 0; i < 3; ++i) CHECK(b.recv_bytes().size() == 600'000);
    sender.join();
    b.send_bytes(some_bytes(5'000'000));  // One message of any size has room.
    CHECK(a.recv_bytes().size() == 5'000'000);
}

TEST_CASE("one large message that is received leaves room for many small ones") {
    const auto [a, b] = mp::Pipe();
    a.send_bytes(some_bytes(1U << 20U));
    std::vector<Thread> senders;
    for (int i = 0; i < 5; ++i)
        senders.emplace_back([&a = a] { a.send_bytes(some_bytes(1000)); }).start();
    for (const auto& sender : senders) REQUIRE(falls_asleep(sender));
    CHECK(b.recv_bytes().size() == 1U << 20U);
    for (const auto& sender : senders) REQUIRE(sender.join_for(patience));
    for (int i = 0; i < 5; ++i) CHECK(b.recv_bytes().size() == 1000);
}

TEST_CASE("close() ends the calls of other threads that wait") {
    for (int round = 0; round < 3; ++round) {
        const auto [a, b] = mp::Pipe();
        const mp::Connection copy = a;
        if (round == 0)
            check_ended_by<muster::InvalidStateError>([&] { (void)copy.recv<int>(); },
                                                      [&, &a = a] { a.close(); });
        if (round == 1)
            check_ended_by<muster::InvalidStateError>([&] { (void)copy.poll(patience); },
                                                      [&, &a = a] { a.close(); });
        if (round == 2)
            check_ended_by<muster::InvalidStateError>(
                [&] {
                    for (;;) copy.send_bytes(some_bytes(600'000));
                },
                [&, &a = a] { a.close(); });
    }
}

TEST_CASE("what several threads send arrives whole, and each message reaches one receiver") {
    constexpr int each = 2'000;
    const auto [a, b] = mp::Pipe();
    std::vector<std::thread> senders;
    for (int s = 0; s < 3; ++s)
        senders.emplace_back([&a = a, s] {
            for (int i = 0; i < each; ++i)
                a.send(std::string(static_cast<std::size_t>(i % 50), static_cast<char>('a' + s)));
        });
    std::atomic<int> received{0}, broken{0};
    std::vector<std::thread> receivers;
    for (int r = 0; r < 2; ++r)
        receivers.emplace_back([&, &b = b] {
            try {
                for (;; ++received) {
                    const auto message = b.recv<std::string>();
                    if (message.find_first_not_of(message.substr(0, 1)) != message.npos) ++broken;
                }
            } catch (const muster::EndOfFile&) {
            }
        });
    for (auto& sender : senders) sender.join();
    a.close();
    for (auto& receiver : receivers) receiver.join();
    CHECK(received == 3 * each);
    CHECK(broken == 0);
}

TEST_CASE("a message that is not what was asked for is gone, and the next one is not") {
    const auto [a, b] = mp::Pipe();
    a.send("a string, and no number");
    a.send(7);
    CHECK_THROWS_AS((void)b.recv<int>(), muster::SerializationError);
    CHECK(b.recv<int>() == 7);
}

TEST_CASE("poll waits no longer than it is told to") {
    const auto [a, b] = mp::Pipe();
    CHECK_FALSE(b.poll());
    CHECK_FALSE(b.poll(0s));
    CHECK_FALSE(b.poll(-1s));
    const auto begin = std::chrono::steady_clock::now();
    CHECK_FALSE(b.poll(30ms));
    CHECK(std::chrono::steady_clock::now() - begin >= 30ms);
    std::thread sender([&a = a] { a.send(1); });
    CHECK(b.poll(patience));
    CHECK(b.poll());  // It takes nothing.
    sender.join();
    CHECK(b.recv<int>() == 1);

    a.send_bytes("");  // An empty one is a message like any other.
    a.send_bytes("two");
    CHECK(b.poll());
    CHECK(b.recv_bytes().empty());
    CHECK(b.poll());
    CHECK(b.recv_bytes().size() == 3);
    CHECK_FALSE(b.poll());
}

}  // namespace multiprocessing_pipe_test
