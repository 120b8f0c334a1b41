// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// What CPython's _test_multiprocessing.py asks of connections and listeners, beyond
// tests/multiprocessing. The names in brackets are the cases' names there.
#include <muster/multiprocessing.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/asleep.hpp"
#include "support/tested_process.hpp"

namespace conformance_connection_test {

namespace {

namespace mp = muster::multiprocessing;
namespace os = muster::detail::os;
using muster::EndOfFile;
using muster::InvalidStateError;
using muster::test::exit_code_of;
using muster::test::falls_asleep;
using muster::test::patience;
using Process = muster::test::TestedProcess;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// The next message as text; nothing if none comes.
std::optional<std::string> text_from(const mp::Connection& connection) {
    if (!connection.poll(patience)) return std::nullopt;
    const auto bytes = connection.recv_bytes();
    std::string text;
    for (const std::byte each : bytes) text += static_cast<char>(each);
    return text;
}

/// Both ends of a connection through a listener.
std::pair<mp::Connection, mp::Connection> local_pair() {
    const mp::Listener listener;
    mp::Connection client = mp::Client(listener.address());
    return {std::move(client), listener.accept()};
}

/// Sends all messages back, until an empty one comes.
void echo(const mp::Connection& its) {
    for (auto message = its.recv_bytes(); !message.empty(); message = its.recv_bytes())
        its.send_bytes(message);
}

void send_all(const mp::Connection& its, const std::vector<std::string>& texts) {
    for (const auto& text : texts) its.send_bytes(text);
}

// --- for processes that several connections lead to

constexpr int reports = 10;
void report(const mp::Connection& its, int who, int pause_ms) {
    for (int i = 0; i < reports; ++i) {
        std::this_thread::sleep_for(pause_ms * 1ms);
        its.send(std::pair(who, i));
    }
}
void report_to(const std::string& address, int who, int pause_ms) {
    report(mp::Client(address), who, pause_ms);
}

// --- for processes that signals come to

volatile ::sig_atomic_t handled = 0;

// Without SA_RESTART, so that it ends what the system does for us.
void count_signals() {
    struct ::sigaction count {};
    count.sa_handler = [](int) { handled = handled + 1; };
    handled = 0;
    ::sigaction(SIGUSR1, &count, nullptr);
}

constexpr std::size_t large = 600'000;  // Three have no room in a pipe.

void receive_and_send(const mp::Connection& its) {
    count_signals();
    its.send("ready");
    its.send(its.recv<int>());
    for (int i = 0; i < 3; ++i) its.send_bytes(std::vector<std::byte>(large));
    std::exit(handled);
}
void accept_one(const mp::Connection& its) {
    count_signals();
    const mp::Listener listener;
    its.send(listener.address());
    listener.accept().send("welcome");
    std::exit(handled);
}

/// Has a signal handled by a process that waits, and goes on waiting.
void disturb(const Process& process) {
    CHECK(falls_asleep(process));
    process.send_signal(SIGUSR1);
    CHECK(falls_asleep(process));
    CHECK(process.is_alive());
}

}  // namespace

TEST_CASE("a conversation has values, bytes, polls, and an end [test_connection]") {
    const auto [ours, theirs] = mp::Pipe();
    const Process process{echo, theirs};
    process.start();
    theirs.close();
    const std::vector<std::optional<double>> values{1, 2.25, std::nullopt};
    ours.send(values);
    CHECK((ours.recv<std::vector<std::optional<double>>>() == values));
    ours.send_bytes("hello");
    CHECK(text_from(ours) == "hello");

    CHECK_FALSE(ours.poll());
    CHECK_FALSE(ours.poll(-1s));
    const auto begin = Clock::now();
    CHECK_FALSE(ours.poll(50ms));
    CHECK(Clock::now() - begin >= 50ms);
    ours.send(7);
    REQUIRE(ours.poll(patience));
    CHECK(ours.recv<int>() == 7);

    const std::string really_big(16 << 20, 'X');
    ours.send_bytes(really_big);
    CHECK((text_from(ours) == really_big));
    ours.send_bytes("");
    REQUIRE(ours.poll(patience));
    CHECK_THROWS_AS((void)ours.recv<int>(), EndOfFile);
    CHECK(process.join_for(patience));
    CHECK(process.exit_code() == 0);
}

TEST_CASE("any part of a buffer may be a message [test_sendbytes]") {
    // Adapted: a part is a span, which has its own checks.
    const auto [a, b] = mp::Pipe();
    const std::string text = "abcdefghijklmnopqrstuvwxyz";
    const auto message = std::as_bytes(std::span(text));
    a.send_bytes(message);
    CHECK(text_from(b) == text);
    a.send_bytes(message.subspan(5));
    CHECK(text_from(b) == text.substr(5));
    a.send_bytes(message.subspan(7, 8));
    CHECK(text_from(b) == text.substr(7, 8));
    a.send_bytes(message.subspan(26));
    CHECK(text_from(b) == "");
    a.send_bytes(message.subspan(26, 0));
    CHECK(text_from(b) == "");
}

TEST_CASE("an end and a listener are closed where their scopes end [test_context]") {
    auto [first, b] = mp::Pipe();
    {
        const mp::Connection a = std::move(first);
        a.send(1729);
        CHECK(b.recv<int>() == 1729);
    }
    CHECK_THROWS_AS((void)b.recv<int>(), EndOfFile);
    std::string address;
    {
        const mp::Listener listener;
        address = listener.address();
        const mp::Client client(address);
        const mp::Connection server = listener.accept();
        client.send(1729);
        CHECK(server.recv<int>() == 1729);
    }
    CHECK_THROWS_AS(mp::Client{address}, std::system_error);
}

TEST_CASE(
    "a process greets a listener, at an address with a file and at one without "
    "[test_listener_client, test_abstract_socket]") {
    const std::string file = "/tmp/muster-conformance-" + std::to_string(::getpid());
    for (const std::string& address : {mp::Listener().address(), file}) {
        CAPTURE(address);
        {
            const mp::Listener listener(address);
            CHECK(std::filesystem::exists(address) == (address == file));
            const Process process{[](const std::string& its) { mp::Client(its).send("hello"); },
                                  listener.address()};
            process.start();
            const auto connection = listener.accept_for(patience);
            REQUIRE(connection.has_value());
            CHECK(connection->recv<std::string>() == "hello");
            CHECK(process.join_for(patience));
        }
        CHECK_FALSE(std::filesystem::exists(address));
        CHECK_THROWS_AS(mp::Client{address}, std::system_error);
    }
}

TEST_CASE("a client may have gone before it is accepted [test_issue14725]") {
    const mp::Listener listener;
    const Process process{[](const std::string& its) { mp::Client(its).send("hello"); },
                          listener.address()};
    CHECK(exit_code_of(process) == 0);
    const auto connection = listener.accept_for(patience);
    REQUIRE(connection.has_value());
    CHECK(connection->recv<std::string>() == "hello");
}

TEST_CASE("a client may poll [test_issue16955]") {
    const auto [client, server] = local_pair();
    server.send_bytes("hello");
    CHECK(client.poll(patience));
    CHECK(text_from(client) == "hello");
}

TEST_CASE("an empty message is polled like any other [test_empty_string]") {
    for (const auto& [a, b] : {mp::Pipe(), local_pair()}) {
        CHECK_FALSE(a.poll());
        b.send_bytes("");
        CHECK(a.poll());
        CHECK(a.poll());
        CHECK(text_from(a) == "");
        CHECK_FALSE(a.poll());
    }
}

TEST_CASE("polls neither take messages nor merge them [test_strings, test_dont_merge]") {
    for (const auto& [a, b] : {mp::Pipe(), local_pair()}) {
        const std::vector<std::string> texts{"hello", "", "a", "b", "cd"};
        CHECK_FALSE(a.poll(0s));
        const Process process{send_all, b, texts};
        process.start();
        for (const auto& text : texts) {
            CHECK(a.poll(patience));
            CHECK(a.poll(patience));
            CHECK(text_from(a) == text);
        }
        CHECK(process.join_for(patience));
        CHECK_FALSE(a.poll());
    }
}

TEST_CASE("a poll of another process leaves messages whole [test_boundaries]") {
    for (const auto& [reader, writer] : {mp::Pipe(), local_pair()}) {
        const Process process{
            [](const mp::Connection& its) { std::exit(its.poll(patience) ? 0 : 1); }, reader};
        process.start();
        CHECK(falls_asleep(process));
        writer.send_bytes("first");
        writer.send_bytes("second");
        CHECK(process.join_for(patience));
        CHECK(process.exit_code() == 0);
        CHECK(text_from(reader) == "first");
        CHECK(text_from(reader) == "second");
    }
}

TEST_CASE(
    "a descriptor goes along with its connection, whatever its number "
    "[test_fd_transfer, test_large_fd_transfer]") {
    // Adapted: descriptors are sent as what they belong to.
    std::vector<os::Fd> others;
    for (const int least : {0, 300}) {
        while (others.empty() || others.back().get() < least)
            others.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        const auto [client, server] = local_pair();
        CHECK(server.native_handle() > least);
        const auto [ours, theirs] = mp::Pipe();
        const Process process{
            [](const mp::Connection& its) { its.recv<mp::Connection>().send_bytes("foo"); },
            theirs};
        process.start();
        ours.send(server);
        CHECK(text_from(client) == "foo");
        CHECK(process.join_for(patience));
    }
}

TEST_CASE("a message is refused whose descriptor is missing [test_missing_fd_transfer]") {
    // Adapted: what goes along with a message of a listener is the stream that a large one is in.
    const mp::Listener listener;
    const os::Fd client = os::connect_to(os::LocalAddress(listener.address()));
    const mp::Connection connection = listener.accept();
    const std::uint64_t size = 100;
    REQUIRE(os::try_send(client.get(), std::as_bytes(std::span(&size, 1))) == sizeof size);
    CHECK_THROWS_AS((void)connection.recv_bytes(), muster::SerializationError);
}

TEST_CASE(
    "one process collects from others, which may be slow, by pipes and by sockets "
    "[test_wait_slow, test_wait_socket, test_wait_socket_slow]") {
    constexpr int workers = 4;
    for (const bool sockets : {false, true})
        for (const int pause_ms : {0, 5}) {
            CAPTURE(sockets);
            CAPTURE(pause_ms);
            const mp::Listener listener;
            std::vector<mp::Process> processes;
            std::vector<mp::Connection> ends;
            for (int who = 0; who < workers; ++who) {
                if (sockets) {
                    processes.push_back(Process{report_to, listener.address(), who, pause_ms});
                    processes.back().start();
                    const auto accepted = listener.accept_for(patience);
                    REQUIRE(accepted.has_value());
                    ends.push_back(*accepted);
                } else {
                    auto [ours, theirs] = mp::Pipe();
                    processes.push_back(Process{report, std::move(theirs), who, pause_ms});
                    processes.back().start();
                    ends.push_back(ours);
                }
            }
            std::map<int, int> seen;
            while (!ends.empty()) {
                const auto ready = mp::wait(ends, patience);
                REQUIRE_FALSE(ready.empty());
                for (const auto& end : ready) {
                    try {
                        const auto [who, number] = end.recv<std::pair<int, int>>();
                        CHECK(number == seen[who]++);
                    } catch (const EndOfFile&) {
                        ends.erase(std::find(ends.begin(), ends.end(), end));
                    }
                }
            }
            CHECK(seen == std::map<int, int>{{0, 10}, {1, 10}, {2, 10}, {3, 10}});
        }
}

TEST_CASE(
    "a signal that is handled ends neither receiving nor sending "
    "[TestIgnoreEINTR.test_ignore]") {
    auto [ours, theirs] = mp::Pipe();
    const Process process{receive_and_send, std::move(theirs)};
    process.start();
    REQUIRE(ours.poll(patience));
    CHECK(ours.recv<std::string>() == "ready");
    disturb(process);
    CHECK_FALSE(ours.poll());
    ours.send(1234);
    REQUIRE(ours.poll(patience));
    CHECK(ours.recv<int>() == 1234);
    disturb(process);
    for (int i = 0; i < 3; ++i) {
        REQUIRE(ours.poll(patience));
        CHECK(ours.recv_bytes().size() == large);
    }
    CHECK(process.join_for(patience));
    CHECK(process.exit_code() == 2);
}

TEST_CASE(
    "a signal that is handled does not end accepting [TestIgnoreEINTR.test_ignore_listener]") {
    auto [ours, theirs] = mp::Pipe();
    const Process process{accept_one, std::move(theirs)};
    process.start();
    REQUIRE(ours.poll(patience));
    const auto address = ours.recv<std::string>();
    disturb(process);
    const mp::Client client(address);
    REQUIRE(client.poll(patience));
    CHECK(client.recv<std::string>() == "welcome");
    CHECK(process.join_for(patience));
    CHECK(process.exit_code() == 1);
}

}  // namespace conformance_connection_test
