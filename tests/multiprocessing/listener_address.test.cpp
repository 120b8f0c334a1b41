// SPDX-License-Identifier: MIT
// ctest: concurrency
// Who listens at an address, who may connect to it, and what becomes of its file.
#include <muster/multiprocessing/listener.hpp>
#include <muster/threading/thread.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/family.hpp"
#include "support/race.hpp"
#include "sync/backends.hpp"

namespace multiprocessing_listener_address_test {

namespace {

namespace mp = muster::multiprocessing;
namespace os = muster::detail::os;
using muster::EndOfFile;
using muster::test::Copy;
using muster::test::open_descriptors;
using muster::test::patience;
using namespace std::chrono_literals;

/// A folder for sockets, which goes with all that is in it.
class Folder {
  public:
    Folder() {
        if (::mkdtemp(path_) == nullptr) throw std::runtime_error("cannot make a folder");
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string path() const { return path_; }
    [[nodiscard]] std::string socket() const { return path() + "/socket"; }

  private:
    char path_[32] = "/tmp/muster-listener-XXXXXX";
};

/// How a call ends: 0 or the code of the system's error, and what that says.
struct Outcome {
    int code = 0;
    std::string text = {};
};
Outcome outcome_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::system_error& error) {
        return {error.code().value(), error.what()};
    }
    return {};
}
bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

bool is_readable(int fd) {
    ::pollfd entry{fd, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}
bool exists(const std::string& path) { return std::filesystem::exists(path); }

/// Has a program listen at the path, and killed.
void abandon(const std::string& path) {
    Copy copy([&] {
        const mp::Listener listener(path);
        ::raise(SIGKILL);
    });
    if (copy.join() != -SIGKILL || !exists(path)) throw std::runtime_error("nothing abandoned");
}

bool converse(const mp::Listener& listener) {
    const mp::Client client(listener.address());
    const auto server = listener.accept_for(patience);
    client.send(3);
    return server && server->recv<int>() == 3;
}

}  // namespace

TEST_CASE("accept_for waits no longer, and native_handle tells of a client") {
    const mp::Listener listener;
    CHECK_FALSE(listener.accept_for(0s).has_value());
    const auto begin = std::chrono::steady_clock::now();
    CHECK_FALSE(listener.accept_for(20ms).has_value());
    CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
    CHECK_FALSE(is_readable(listener.native_handle()));
    const mp::Client client(listener.address());
    CHECK(is_readable(listener.native_handle()));
    CHECK(listener.accept_for(0s).has_value());
    CHECK_FALSE(is_readable(listener.native_handle()));
    const mp::Client unaccepted(listener.address());
    listener.close();
    CHECK_THROWS_AS((void)unaccepted.recv<int>(), EndOfFile);
}

TEST_CASE("who connects where nobody listens is told") {
    const Folder folder;
    for (const std::string& address : {std::string("muster-test-nobody"), folder.socket()}) {
        const Outcome outcome = outcome_of([&] { const mp::Client client(address); });
        CHECK(outcome.code == (has(address, "/") ? ENOENT : ECONNREFUSED));
        CHECK(has(outcome.text, "'" + address + "'"));
        CHECK(has(outcome.text, "nobody listens"));
        const auto begin = std::chrono::steady_clock::now();
        CHECK_THROWS_AS(mp::Client(address, 20ms), muster::TimeoutError);
        CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
        CHECK_THROWS_AS(mp::Client(address, -1s), muster::TimeoutError);
    }
    abandon(folder.socket());
    CHECK(outcome_of([&] { const mp::Client client(folder.socket()); }).code == ECONNREFUSED);
}

TEST_CASE(
    "a client may wait until somebody listens, and its connection is an ordinary one then "
    "[TestTimeouts.test_timeout]") {
    const Folder folder;
    std::atomic<int> got{0};
    const muster::threading::Thread thread(
        [&] { got = mp::Client(folder.socket(), patience).recv<int>(); });
    thread.start();
    const mp::Listener listener(folder.socket());
    const auto server = listener.accept_for(patience);
    REQUIRE(server.has_value());
    CHECK(muster::test::falls_asleep(thread));
    server->send(8);
    CHECK(thread.join_for(patience));
    CHECK(got == 8);
}

TEST_CASE(
    "an address that somebody has is refused, and is free when he closes it [test_multiple_bind]") {
    const Folder folder;
    for (const std::string& address : {mp::Listener().address(), folder.socket()}) {
        const mp::Listener first(address);
        CHECK(first.address() == address);
        const Outcome outcome = outcome_of([&] { const mp::Listener second(address); });
        CHECK(outcome.code == EADDRINUSE);
        CHECK(has(outcome.text, "'" + address + "'"));
        CHECK(has(outcome.text, "choose another"));
        CHECK_FALSE(is_readable(first.native_handle()));  // Nor has it noticed.
        CHECK(converse(first));
        const mp::Listener copy = first;
        copy.close();
        CHECK(first.closed());
        CHECK(converse(mp::Listener(address)));
    }
}

TEST_CASE("the socket of a killed program is replaced, and no other file is") {
    const Folder folder;
    abandon(folder.socket());
    CHECK(converse(mp::Listener(folder.socket())));

    const std::string file = folder.path() + "/file";
    std::ofstream(file) << "text";
    const Outcome outcome = outcome_of([&] { const mp::Listener listener(file); });
    CHECK(outcome.code == EADDRINUSE);
    CHECK(has(outcome.text, "no socket"));
    CHECK(std::filesystem::file_size(file) == 4);
    CHECK(outcome_of([&] { const mp::Listener listener(folder.path() + "/"); }).code == EADDRINUSE);
    CHECK(outcome_of([&] { const mp::Listener listener(file + "/x"); }).code == ENOTDIR);
    CHECK(outcome_of([&] { const mp::Listener listener(folder.path() + "/x/y"); }).code == ENOENT);
}

TEST_CASE("of two who replace a socket at the same time one has the address") {
    const Folder folder;
    constexpr std::size_t rounds = 1000;
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < rounds; ++i) {
        paths.push_back(folder.socket() + std::to_string(i));
        const os::LocalAddress address(paths.back());
        const os::Fd abandoned = os::local_socket(SOCK_SEQPACKET);
        REQUIRE(::bind(abandoned.get(), address.get(), address.size()) == 0);
    }
    std::optional<mp::Listener> made[2];
    std::size_t alone = 0;
    std::barrier compared(2, [&]() noexcept {
        if (made[0].has_value() != made[1].has_value()) ++alone;
        for (auto& each : made) each.reset();
    });
    const auto racer = [&](int number) {
        return [&, number](std::size_t round) {
            (void)outcome_of([&] { made[number].emplace(paths[round]); });
            compared.arrive_and_wait();
        };
    };
    muster::test::race(rounds, racer(0), racer(1));
    CHECK(alone == rounds);
}

TEST_CASE("who replaces a socket does not wait for ever for others that do") {
    const Folder folder;
    abandon(folder.socket());
    const os::Fd locked(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(::flock(locked.get(), LOCK_EX) == 0);
    CHECK(outcome_of([&] { const mp::Listener listener(folder.socket()); }).code == EWOULDBLOCK);
}

TEST_CASE("the file goes with the listener, if it is still his, wherever the process is then") {
    const Folder folder;
    {
        const mp::Listener listener(folder.socket());
        struct ::stat status {};
        REQUIRE(::stat(listener.address().c_str(), &status) == 0);
        CHECK((status.st_mode & 0777U) == 0600);  // Others cannot connect.
    }
    CHECK_FALSE(exists(folder.socket()));

    std::optional<mp::Listener> listener(folder.socket());
    Copy copy([&] { listener.reset(); });
    CHECK(copy.join() == 0);
    CHECK(exists(folder.socket()));
    CHECK(converse(*listener));
    std::filesystem::remove(folder.socket());
    std::ofstream(folder.socket()) << "text";
    listener->close();
    CHECK(exists(folder.socket()));
    std::filesystem::remove(folder.socket());

    Copy relative([&] {
        if (::chdir(folder.path().c_str()) != 0) ::_exit(2);
        std::optional<mp::Listener> here("./socket");
        if (!exists(folder.socket()) || ::chdir("/") != 0) ::_exit(3);
    });
    CHECK(relative.join() == 0);
    CHECK_FALSE(exists(folder.socket()));
}

TEST_CASE("an address that no socket can have is refused, and the longest one is not") {
    const Folder folder;
    const std::string stem = folder.path() + "/";
    const std::string path = stem + std::string(107 - stem.size(), 'x');
    CHECK(converse(mp::Listener(path)));
    const std::string user = std::to_string(::geteuid());
    const std::string name(107 - sizeof("muster..") + 1 - user.size(), 'x');
    CHECK(converse(mp::Listener(name)));

    const auto refusal = [](const std::string& address) -> std::string {
        std::string texts[2];
        try {
            const mp::Listener listener(address);
        } catch (const std::invalid_argument& error) {
            texts[0] = error.what();
        }
        try {
            const mp::Client client(address);
        } catch (const std::invalid_argument& error) {
            texts[1] = error.what();
        }
        return texts[0] == texts[1] ? texts[0] : "two answers";
    };
    CHECK(has(refusal(path + 'x'), "has 108 bytes; as a path it can have 107"));
    CHECK(has(refusal(name + 'x'), "as a name it can have " + std::to_string(name.size())));
    CHECK(has(refusal(""), "empty"));
    CHECK(has(refusal(std::string("a\0b", 3)), "NUL"));
}

TEST_CASE("descriptors are as before when all is closed, and when all has gone") {
    const Folder folder;
    { const mp::Listener first; }
    const auto before = open_descriptors();
    for (const bool close : {true, false}) {
        const mp::Listener named, filed(folder.socket());
        const mp::Connection client = mp::Client(named.address());
        const mp::Connection server = named.accept();
        CHECK(open_descriptors().size() == before.size() + 5);  // The folder of the file is one.
        if (!close) continue;
        for (const auto* end : {&client, &server}) end->close();
        for (const auto* listener : {&named, &filed}) listener->close();
        CHECK(open_descriptors() == before);
    }
    CHECK_THROWS(mp::Client("muster-test-nobody"));
    CHECK_THROWS(mp::Listener(folder.path() + "/"));
    CHECK(open_descriptors() == before);
}

// Only root can become somebody else.
TEST_CASE("who is another user is turned away" * doctest::skip(::geteuid() != 0)) {
    constexpr ::uid_t other = 65534;
    const mp::Listener listener;
    const os::LocalAddress address(listener.address());
    Copy stranger([&] {
        if (::setuid(other) != 0) ::_exit(2);
        const os::Fd socket = os::connect_to(address);
        std::byte byte{};
        ::_exit(::recv(socket.get(), &byte, 1, 0) == 0 ? 3 : 4);
    });
    while (listener.refused() == 0) REQUIRE_FALSE(listener.accept_for(1ms).has_value());
    CHECK(stranger.join() == 3);
    CHECK(converse(listener));
    CHECK(listener.refused() == 1);

    listener.close();
    Copy impostor([&] {
        if (::setuid(other) != 0) ::_exit(2);
        const os::LocalListener taken = os::listen_at(address);
        for (;;) ::pause();
    });
    CHECK(muster::test::soon([&] {
        return outcome_of([&] { const mp::Client client(listener.address()); }).code == EACCES;
    }));
}

}  // namespace multiprocessing_listener_address_test
