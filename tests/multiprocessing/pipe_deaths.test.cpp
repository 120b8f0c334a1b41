// SPDX-License-Identifier: MIT
// ctest: concurrency start_methods
// The bells of pipes, and what the death of a process does to a conversation.
#include <muster/multiprocessing.hpp>
#include <muster/process_pool_executor.hpp>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/resource.h>

#include <cstddef>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/family.hpp"
#include "support/process_pool.hpp"

namespace multiprocessing_pipe_deaths_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::family_bytes;
using muster::test::open_descriptors;
using muster::test::ProcessPool;

bool readable(int descriptor) {
    ::pollfd entry{descriptor, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

}  // namespace

// A sanitizer reads files of the system's when an exception is thrown, and cannot do without.
#ifdef TEST_SANITIZED
constexpr bool needs_files = true;
#else
constexpr bool needs_files = false;
#endif

TEST_CASE("who has no descriptor left to ring another process's bell sends nothing" *
          doctest::skip(needs_files)) {
    const auto [a, b] = mp::Pipe();
    const mp::Event asked, end;
    Copy reader([&, &b = b] {
        (void)b.native_handle();
        asked.set();
        end.wait();
    });
    asked.wait();
    ::rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const ::rlimit none{0, limit.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_THROWS_AS(a.send(1), std::system_error);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_FALSE(b.poll());
    a.send(2);
    CHECK(b.recv<int>() == 2);
    end.set();
    CHECK(reader.join() == 0);
}

TEST_CASE("a descriptor is readable exactly while there is something to receive") {
    ProcessPool pool(1);
    const auto [ours, theirs] = mp::Pipe();
    const int bell = ours.native_handle();
    CHECK(ours.native_handle() == bell);
    CHECK_FALSE(readable(bell));
    for (int i = 0; i < 3; ++i) {
        pool.submit([](mp::Connection its) { its.send(1); }, theirs).result();
        CHECK(readable(bell));
        pool.submit([](mp::Connection its) { its.send(2); }, theirs).result();
        CHECK(ours.recv<int>() == 1);
        CHECK(readable(bell));
        // Another process that has the same end takes the last one.
        CHECK(pool.submit([](mp::Connection its) { return its.recv<int>(); }, ours).result() == 2);
        CHECK_FALSE(readable(bell));
    }
    theirs.send(3);
    const int late = theirs.native_handle();
    CHECK_FALSE(readable(late));
    CHECK(readable(bell));
    theirs.close();
    CHECK_FALSE(muster::test::is_open(late));
    CHECK(ours.recv<int>() == 3);
    CHECK(readable(bell));  // Its end.
}

TEST_CASE("the bell of a process that is killed disturbs nobody, and its sender's death none") {
    const auto [a, b] = mp::Pipe();
    const int bell = b.native_handle();
    const mp::Event ready, never;
    for (int i = 0; i < 20; ++i) {
        ready.clear();
        Copy other([&, &a = a, &b = b] {
            (void)b.native_handle();
            a.send(i);
            ready.set();
            never.wait();
        });
        ready.wait();
        CHECK(other.kill() == -9);
        CHECK(readable(bell));
        CHECK(b.recv<int>() == i);
        CHECK_FALSE(readable(bell));
    }
}

TEST_CASE("pipes have no descriptor unless asked for one, and leave nothing") {
    (void)mp::Pipe();
    const mp::Lock other;  // The family's memory stays as long as this.
    const auto bytes = family_bytes();
    const auto descriptors = open_descriptors();
    {
        std::vector<std::pair<mp::Connection, mp::Connection>> pipes;
        for (int i = 0; i < 2'000; ++i) pipes.push_back(mp::Pipe());
        for (const auto& [a, b] : pipes) {
            a.send(1);
            a.send(mp::Lock());
            b.send(2);
        }
        CHECK(open_descriptors() == descriptors);
        for (const auto& [a, b] : pipes) a.close();
        (void)pipes.front().second.native_handle();
        CHECK(open_descriptors().size() == descriptors.size() + 1);
    }
    CHECK(open_descriptors() == descriptors);
    CHECK(family_bytes() == bytes);
}

TEST_CASE("whoever is killed while sending has sent whole messages, and leaves nothing") {
    (void)mp::Pipe();
    const mp::Lock other;
    const auto bytes = family_bytes();
    for (unsigned kill = 0; kill < 300; ++kill) {
        auto [a, b] = mp::Pipe();
        if (kill % 3 == 0) (void)b.native_handle();
        Copy sender([&a = a] {
            for (int i = 0;; ++i)
                a.send(std::pair(i, std::string(static_cast<std::size_t>(i % 200), 'x')));
        });
        const unsigned times = 1 + kill * 7 % 40;
        for (unsigned i = 0; i < times; ++i)
            CHECK(b.recv<std::pair<int, std::string>>().first == static_cast<int>(i));
        a.close();  // Only now: the copy uses it.
        CHECK(sender.kill() == -9);
        int next = static_cast<int>(times);
        try {
            for (;; ++next) {
                const auto message = b.recv<std::pair<int, std::string>>();
                REQUIRE(message.first == next);
                REQUIRE(message.second.size() == static_cast<std::size_t>(next % 200));
            }
        } catch (const muster::EndOfFile&) {
        }
    }
    CHECK(family_bytes() == bytes);
}

TEST_CASE("whoever is killed while receiving has taken whole messages, and others get the rest") {
    (void)mp::Pipe();
    const mp::Lock other;
    const auto bytes = family_bytes();
    for (unsigned kill = 0; kill < 300; ++kill) {
        const auto [a, b] = mp::Pipe();
        const mp::Event begun;
        Copy receiver([&, &b = b] {
            for (;;)
                if (b.recv<int>() == static_cast<int>(kill % 30)) begun.set();
        });
        for (int i = 0; i < 100; ++i) a.send(i);
        begun.wait();
        CHECK(receiver.kill() == -9);
        a.send(100);
        int last = -1;
        do {
            const int next = b.recv<int>();
            REQUIRE(next > last);
            if (last != -1) REQUIRE(next == last + 1);
            last = next;
        } while (last != 100);
    }
    CHECK(family_bytes() == bytes);
}

}  // namespace multiprocessing_pipe_deaths_test
