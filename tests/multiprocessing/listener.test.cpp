// SPDX-License-Identifier: MIT
// ctest: concurrency
// Connections between programs that know each other by an address.
#include <muster/multiprocessing/listener.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/family.hpp"
#include "support/tested_process.hpp"
#include "sync/backends.hpp"

namespace multiprocessing_listener_test {

namespace {

namespace mp = muster::multiprocessing;
namespace os = muster::detail::os;
using muster::EndOfFile;
using muster::InvalidStateError;
using muster::test::Copy;
using muster::test::patience;
using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

/// Both ends of a connection in this process.
struct Ends {
    mp::Listener listener;
    mp::Connection client = mp::Client(listener.address());
    mp::Connection server = listener.accept();
};

/// A client that does not keep to the rules.
class RawClient {
  public:
    explicit RawClient(const std::string& address)
        : socket_{os::connect_to(os::LocalAddress(address))} {}
    template <typename T>
    void send(const T& packet) const {
        check(os::try_send(socket_.get(), std::as_bytes(std::span(&packet, 1))), sizeof packet);
    }
    /// Claims that a message has so many bytes, and sends these of them.
    template <typename T>
    void send_part(std::uint64_t claimed, const T& bytes) {
        auto [ours, theirs] = os::stream_pair();
        const auto size = std::as_bytes(std::span(&claimed, 1));
        check(os::try_send_some(ours.get(), std::as_bytes(std::span(&bytes, 1))), sizeof bytes);
        check(os::try_send(socket_.get(), size, theirs.get()), sizeof claimed);
        stream_ = std::move(ours);
    }

  private:
    static void check(os::Transferred sent, std::size_t size) {
        if (sent != size) throw std::runtime_error("cannot send");
    }

    os::Fd socket_;
    os::Fd stream_;
};

Bytes pattern(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
    return bytes;
}

/// A value that cannot be sent.
struct Unwritable {
    template <typename Archive>
    void serialize(Archive& ar) {
        ar(first);
        if constexpr (Archive::is_saving::value) throw std::out_of_range("unwritable");
    }
    int first = 1;
};

/// What is said by the error that a call ends with.
template <typename Error>
std::string error_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "no such error";
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

/// Sends back all that it gets, until the other end is closed.
void echo(const std::string& address) {
    const mp::Client client(address);
    try {
        for (;;) client.send_bytes(client.recv_bytes());
    } catch (const EndOfFile&) {
    }
}

bool is_readable(int fd) {
    ::pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

/// The most memory, in KiB, that this process had addresses for.
long most_memory() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmPeak:")) return std::stol(line.substr(7));
    return 0;
}

}  // namespace

TEST_CASE("messages of any size go both ways between processes, and none is changed") {
    const mp::Listener listener;
    const muster::test::TestedProcess process(echo, listener.address());
    process.start();
    const auto connection = listener.accept_for(patience);
    REQUIRE(connection.has_value());
    for (const std::size_t size : {0U, 1U, 100U, 65'536U, 1U << 20U, 32U << 20U, 3U, 0U}) {
        const Bytes sent = pattern(size);
        connection->send_bytes(sent);
        CHECK((connection->recv_bytes() == sent));
    }
    connection->send("text");
    CHECK(connection->recv<std::string>() == "text");
    connection->send(std::vector<std::optional<int>>{1, std::nullopt});
    CHECK((connection->recv<std::vector<std::optional<int>>>() ==
           std::vector<std::optional<int>>{1, std::nullopt}));
    connection->close();
    CHECK(process.join_for(patience));
    CHECK(process.exit_code() == 0);
}

TEST_CASE("several clients have a connection each") {
    const mp::Listener listener;
    std::vector<Copy> copies;
    for (int i = 0; i < 8; ++i)
        copies.emplace_back([i, &listener] {
            const mp::Client client(listener.address());
            client.send(i);
            if (client.recv<int>() != i * i) ::_exit(2);
        });
    std::vector<std::optional<mp::Connection>> clients;
    for (int i = 0; i < 8; ++i) clients.push_back(listener.accept_for(patience));
    std::set<int> numbers;
    for (const auto& client : clients) {
        REQUIRE(client.has_value());
        const int number = client->recv<int>();
        numbers.insert(number);
        client->send(number * number);
    }
    CHECK(numbers.size() == 8);
    for (Copy& copy : copies) CHECK(copy.join() == 0);
}

TEST_CASE("when the other end is closed, what it sent is read, and then comes the end") {
    for (const bool lost : {false, true}) {  // Whether it closes without having read all.
        const Ends ends;
        ends.client.send(1);
        ends.client.send(2);
        if (lost) ends.server.send(3);
        ends.client.close();
        CHECK_THROWS_AS(ends.server.send(4), EndOfFile);
        CHECK(ends.server.recv<int>() == 1);
        CHECK(ends.server.poll());
        CHECK(ends.server.recv<int>() == 2);
        CHECK(ends.server.poll());
        for (int i = 0; i < 2; ++i) CHECK_THROWS_AS((void)ends.server.recv<int>(), EndOfFile);
        CHECK_THROWS_AS(ends.server.send(4), EndOfFile);
    }
    const mp::Listener listener;
    std::optional<mp::Client> client(listener.address());
    const mp::Connection server = listener.accept();
    client.reset();
    CHECK_THROWS_AS((void)server.recv<int>(), EndOfFile);
}

TEST_CASE("the end of a killed process is told, also in the midst of a message") {
    for (const bool midst : {false, true}) {
        const mp::Listener listener;
        Copy copy([&] {
            RawClient client(listener.address());
            if (midst) client.send_part(100, std::uint64_t{0});
            for (;;) ::pause();
        });
        const auto connection = listener.accept_for(patience);
        REQUIRE(connection.has_value());
        if (midst) CHECK(connection->poll(patience));
        CHECK(copy.kill() == -SIGKILL);
        const std::string error = error_of<EndOfFile>([&] { (void)connection->recv_bytes(); });
        CHECK(has(error, midst ? "in the midst of a message, after 8 of 100 bytes"
                               : "all that it sent was read"));
    }
}

TEST_CASE("a size is believed only as far as bytes come") {
    for (const std::uint64_t claimed :
         {std::uint64_t{1} << 62U, ~std::uint64_t{0}, std::uint64_t{1} << 36U}) {
        const mp::Listener listener;
        std::optional<RawClient> client(listener.address());
        const mp::Connection connection = listener.accept();
        client->send_part(claimed, 7);
        client.reset();
        const long before = most_memory();
        const std::string error = error_of<EndOfFile>([&] { (void)connection.recv_bytes(); });
        CHECK(has(error, "4 of " + std::to_string(claimed) + " bytes"));
        CHECK(most_memory() - before < (1 << 20));
    }
}

TEST_CASE("a packet that is no message is refused, and what comes after it is not") {
    const mp::Listener listener;
    const RawClient client(listener.address());
    const mp::Connection connection = listener.accept();
    using Words = std::array<std::uint64_t, 2>;
    client.send('x');
    client.send(Words{7, 0});
    client.send(Words{~std::uint64_t{0}, 0});
    client.send(Words{8, 5});
    for (int i = 0; i < 3; ++i)
        CHECK_THROWS_AS((void)connection.recv_bytes(), muster::SerializationError);
    CHECK((connection.recv<std::uint64_t>() == 5));
}

TEST_CASE("large messages that several threads send and receive arrive whole") {
    const Ends ends;
    constexpr int each = 6;
    constexpr std::size_t size = 3U << 20U;
    std::atomic<int> sums[2] = {0, 0};
    const auto send = [&](int number) {
        for (int i = 0; i < each; ++i)
            ends.client.send_bytes(
                Bytes(size + static_cast<std::size_t>(number), std::byte(number)));
    };
    const auto receive = [&] {
        for (int i = 0; i < each; ++i) {
            const Bytes got = ends.server.recv_bytes();
            const std::size_t number = got.size() - size;
            if (number < 2 && std::count(got.begin(), got.end(), std::byte(number)) ==
                                  static_cast<std::ptrdiff_t>(got.size()))
                ++sums[number];
        }
    };
    {
        std::vector<std::jthread> threads;
        for (int number = 0; number < 2; ++number) {
            threads.emplace_back(send, number);
            threads.emplace_back(receive);
        }
    }
    CHECK(sums[0] == each);
    CHECK(sums[1] == each);
}

TEST_CASE("a message that cannot be written is not sent, and one that cannot be read is gone") {
    const Ends ends;
    CHECK_THROWS_AS(ends.client.send(Unwritable()), std::out_of_range);
    CHECK_FALSE(ends.server.poll());
    ends.client.send("text");
    CHECK_THROWS_AS((void)ends.server.recv<std::vector<std::string>>(), muster::SerializationError);
    ends.client.send(5);
    CHECK(ends.server.recv<int>() == 5);
}

TEST_CASE("poll tells of a message, of a part of one, and of the end, and waits no longer") {
    const mp::Listener listener;
    std::optional<RawClient> client(listener.address());
    const mp::Connection connection = listener.accept();
    CHECK_FALSE(connection.poll());
    CHECK_FALSE(connection.poll(-1s));
    CHECK_FALSE(is_readable(connection.native_handle()));
    const auto begin = std::chrono::steady_clock::now();
    CHECK_FALSE(connection.poll(20ms));
    CHECK(std::chrono::steady_clock::now() - begin >= 20ms);

    std::atomic<bool> told{false};
    const muster::threading::Thread waiting(
        [&] { told = connection.poll(std::chrono::hours::max()); });
    waiting.start();
    CHECK(muster::test::falls_asleep(waiting));
    client->send_part(2, 'x');
    CHECK(waiting.join_for(patience));
    CHECK(told);
    CHECK(connection.poll());
    CHECK(is_readable(connection.native_handle()));
    client.reset();
    CHECK_THROWS_AS((void)connection.recv_bytes(), EndOfFile);
    CHECK(connection.poll());
    CHECK(is_readable(connection.native_handle()));
}

TEST_CASE("close wakes those who wait, and tells them") {
    const Ends ends;
    const mp::Connection sending = mp::Client(ends.listener.address());
    const mp::Connection unread = ends.listener.accept();
    const std::function<void()> calls[] = {
        [&] { (void)ends.server.recv_bytes(); },
        [&] { (void)ends.server.recv_bytes(); },
        [&] { (void)ends.server.poll(patience); },
        [&] { sending.send_bytes(Bytes(8U << 20U)); },
        [&] { sending.send_bytes(Bytes(8U << 20U)); },
        [&] { (void)ends.listener.accept(); },
        [&] { (void)ends.listener.accept_for(patience); },
    };
    std::atomic<std::size_t> told{0};
    std::vector<muster::threading::Thread> threads;
    for (const auto& call : calls)
        threads.emplace_back([&] {
            if (has(error_of<InvalidStateError>(call), "closed")) ++told;
        });
    for (const auto& thread : threads) thread.start();
    for (const auto& thread : threads) CHECK(muster::test::falls_asleep(thread));
    CHECK(told == 0);
    ends.server.close();
    sending.close();
    ends.listener.close();
    for (const auto& thread : threads) CHECK(thread.join_for(patience));
    CHECK(told == std::size(calls));

    for (int i = 0; i < 2; ++i) {
        ends.server.close();
        ends.listener.close();
        CHECK(ends.server.closed());
        CHECK(ends.listener.closed());
        for (const auto& call : calls) CHECK_THROWS_AS(call(), InvalidStateError);
        CHECK_THROWS_AS((void)ends.server.native_handle(), InvalidStateError);
        CHECK_THROWS_AS((void)ends.listener.native_handle(), InvalidStateError);
    }
}

TEST_CASE("in a copy of the process a listener and its connections are closed, and nowhere else") {
    std::optional<mp::Listener> listener(std::in_place);
    std::optional<mp::Connection> client = mp::Client(listener->address());
    std::optional<mp::Connection> server = listener->accept();
    Copy copy([&] {
        const std::function<void()> calls[] = {
            [&] { (void)listener->accept(); }, [&] { (void)client->recv<int>(); },
            [&] { (void)client->poll(); }, [&] { client->send(1); }};
        for (const auto& call : calls)
            if (!has(error_of<InvalidStateError>(call), "copy")) ::_exit(2);
        if (!listener->closed() || !client->closed()) ::_exit(3);
        client->close();
        listener->close();
        client.reset();
        server.reset();
        listener.reset();
    });
    CHECK(copy.join() == 0);
    client->send(1);
    CHECK(server->recv<int>() == 1);
    Copy living([] {
        for (;;) ::pause();
    });
    client.reset();
    CHECK_THROWS_AS((void)server->recv<int>(), EndOfFile);
    CHECK_NOTHROW(mp::Client(listener->address()));
}

}  // namespace multiprocessing_listener_test
