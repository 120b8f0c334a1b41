// SPDX-License-Identifier: MIT
#include <muster/detail/posix/fork_client.hpp>

#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <memory>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

namespace posix_fork_client_test {

namespace {

using namespace muster::detail::posix;

/// What the client has, and the server's end of its socket, whose part the test plays.
struct Pair {
    std::shared_ptr<ForkClient> client;
    Fd server;
};
Pair make_pair() {
    auto [ours, theirs] = socket_pair();
    return {std::make_shared<ForkClient>(PrivateFd(std::move(ours)), ChildProcess()),
            std::move(theirs)};
}

void report(const Fd& server, const ForkReport& report) {
    REQUIRE(send_with_fds(server.get(), std::as_bytes(std::span(&report, 1)), {}) ==
            static_cast<::ssize_t>(sizeof report));
}

HandedFds any_fds(const ForkClient& client) {
    HandedFds fds{};
    fds.fill(client.fd());
    return fds;
}

}  // namespace

TEST_CASE("what a server has reported is heard though it ends with a request unread") {
    auto [client, server] = make_pair();
    report(server, {ForkReport::Kind::left, 11, 3});
    report(server, {ForkReport::Kind::killed, 12, SIGSEGV});
    client->send_signal(11, SIGKILL, SignalTarget::process);
    server = {};
    client->receive();
    CHECK(client->gone());
    CHECK(client->take_status(11) == ExitStatus{.exit_code = 3});
    CHECK(client->take_status(12) == ExitStatus{.signal = SIGSEGV});
    CHECK(client->take_status(11) == std::nullopt);
}

TEST_CASE("what a server has reported is heard though it is gone when a copy is asked for") {
    auto [client, server] = make_pair();
    report(server, {ForkReport::Kind::left, 11, 3});
    SUBCASE("with a request unread") { client->send_signal(11, SIGKILL, SignalTarget::process); }
    SUBCASE("with none") {}
    server = {};
    CHECK_THROWS_AS((void)client->start(any_fds(*client)), std::system_error);
    CHECK(client->gone());
    CHECK(client->pending());
    CHECK(client->take_status(11) == ExitStatus{.exit_code = 3});
}

TEST_CASE("what a server reports after it was found to be deaf is heard") {
    auto [client, server] = make_pair();
    client->send_signal(11, SIGKILL, SignalTarget::process);
    ::shutdown(server.get(), SHUT_RD);
    CHECK_THROWS_AS((void)client->start(any_fds(*client)), std::system_error);
    CHECK(client->gone());
    CHECK_FALSE(client->pending());  // It has reported nothing.
    report(server, {ForkReport::Kind::left, 11, 3});
    server = {};
    client->receive();
    CHECK(client->take_status(11) == ExitStatus{.exit_code = 3});
}

TEST_CASE("what a server reports around its last copy is heard") {
    Pair pair = make_pair();
    const auto& client = pair.client;
    std::thread serves([&server = pair.server] {
        ::pollfd request{server.get(), POLLIN, 0};
        (void)::poll(&request, 1, -1);
        report(server, {ForkReport::Kind::left, 11, 3});
        report(server, {ForkReport::Kind::started, 21, 0});
        report(server, {ForkReport::Kind::killed, 12, SIGSEGV});
        report(server, {ForkReport::Kind::killed, 21, SIGKILL});
        server = {};  // The request is unread.
    });
    CHECK(client->start(any_fds(*client)).pid() == 21);
    serves.join();
    CHECK(client->pending());
    if (!client->gone()) client->receive();  // Its socket is readable, then.
    CHECK(client->gone());
    CHECK(client->take_status(11) == ExitStatus{.exit_code = 3});
    CHECK(client->take_status(12) == ExitStatus{.signal = SIGSEGV});
    CHECK(client->take_status(21) == ExitStatus{.signal = SIGKILL});
}

TEST_CASE("a copy that cannot be asked for is no report, and the server not gone") {
    auto [client, server] = make_pair();
    CHECK_THROWS_AS((void)client->start({-1, -1, -1, -1, -1, -1}), std::system_error);
    CHECK_FALSE(client->gone());
    CHECK_FALSE(client->pending());
}

}  // namespace posix_fork_client_test
