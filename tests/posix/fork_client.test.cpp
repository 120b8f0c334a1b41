// SPDX-License-Identifier: MIT
#include <muster/detail/posix/fork_client.hpp>

#include <doctest/doctest.h>
#include <signal.h>

#include <memory>
#include <span>
#include <system_error>
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
    HandedFds fds{};
    fds.fill(client->fd());  // Any will do.
    CHECK_THROWS_AS((void)client->start(fds), std::system_error);
    CHECK(client->gone());
    CHECK(client->pending());
    CHECK(client->take_status(11) == ExitStatus{.exit_code = 3});
}

}  // namespace posix_fork_client_test
