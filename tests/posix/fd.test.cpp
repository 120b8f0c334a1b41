// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <muster/detail/posix/bell.hpp>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/lifeline.hpp>
#include <muster/detail/posix/memory.hpp>
#include <muster/detail/posix/random.hpp>
#include <posix/descriptors.hpp>
#include <utility>

namespace posix_fd_test {

using namespace muster::detail::posix;
using muster::test::is_open;
using muster::test::open_descriptors;
using muster::test::StandardStreamsClosed;

namespace {

Fd null_device() { return Fd{check(::open("/dev/null", O_RDWR | O_CLOEXEC), "open")}; }

bool closes_at_exec(int fd) { return (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0; }

bool readable(int fd) {
    ::pollfd poll{fd, POLLIN, 0};
    return ::poll(&poll, 1, 0) == 1;
}

}  // namespace

TEST_CASE("an Fd closes its descriptor once, and an empty one nothing") {
    int raw = -1;
    {
        Fd fd = null_device();
        raw = fd.get();
        Fd moved = std::move(fd);
        CHECK(moved.get() == raw);
        CHECK(fd.get() == -1);
        CHECK(is_open(raw));
        CHECK_FALSE(static_cast<bool>(fd));
    }
    CHECK_FALSE(is_open(raw));
}

TEST_CASE("assigning to an Fd closes what it had") {
    Fd fd = null_device();
    const int before = fd.get();
    fd = Fd{};
    CHECK_FALSE(is_open(before));
    CHECK(fd.get() == -1);
}

TEST_CASE("a released descriptor stays open") {
    Fd fd = null_device();
    const Fd again{fd.release()};
    CHECK(fd.get() == -1);
    CHECK(is_open(again.get()));
}

TEST_CASE("duplicate_above gives a second descriptor from the minimum on, closed at exec") {
    const Fd fd = null_device();
    const Fd copy = duplicate_above(fd.get(), 100);
    CHECK(copy.get() >= 100);
    CHECK(closes_at_exec(copy.get()));
    CHECK_THROWS_AS((void)duplicate_above(-1, 3), std::system_error);
}

TEST_CASE("every factory avoids the numbers of closed standard streams") {
    std::array<int, 7> numbers{};
    {
        const StandardStreamsClosed closed;
        const Fd memory = anonymous_memory("muster-test", 4096);
        const Bell bell;
        const auto sockets = socket_pair();
        const Fd copy = duplicate_above(memory.get(), 3);
        const Fd moved = above_stdio(Fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)});
        numbers = {memory.get(),
                   bell.fd(),
                   sockets.first.get(),
                   sockets.second.get(),
                   copy.get(),
                   moved.get(),
                   is_open(0) || is_open(1) || is_open(2) ? -1 : 3};
    }
    for (const int number : numbers) CHECK(number >= 3);
}

TEST_CASE("every factory's descriptors close at exec, and are all closed at the end") {
    const auto before = open_descriptors();
    {
        const Fd memory = anonymous_memory("muster-test", 4096);
        const Bell bell;
        const auto [one, other] = socket_pair();
        for (const int fd : {memory.get(), bell.fd(), one.get(), other.get()})
            CHECK(closes_at_exec(fd));
        (void)random_nonce();
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("two mappings of the same memory show the same bytes") {
    const std::size_t page = page_size();
    const Fd memory = anonymous_memory("muster-test", 3 * page);
    const Mapping writer = Mapping::read_write(memory, 0, 3 * page);
    const Mapping reader = Mapping::read_only(memory, page, page);
    writer.data()[page + 5] = std::byte{42};
    CHECK(reader.data()[5] == std::byte{42});
    CHECK(reader.size() == page);
}

TEST_CASE("a mapping outlives its descriptor and moves") {
    Mapping mapping = Mapping::read_write(anonymous_memory("muster-test", 100), 0, 100);
    mapping.data()[99] = std::byte{1};
    const Mapping moved = std::move(mapping);
    CHECK(mapping.data() == nullptr);
    CHECK(mapping.size() == 0);
    CHECK(moved.data()[99] == std::byte{1});
}

TEST_CASE("discarded memory reads as zeros, the rest keeps its bytes") {
    const std::size_t page = page_size();
    const Fd memory = anonymous_memory("muster-test", 2 * page);
    const Mapping mapping = Mapping::read_write(memory, 0, 2 * page);
    mapping.data()[0] = mapping.data()[page] = std::byte{7};
    discard(memory.get(), 0, page);
    CHECK(mapping.data()[0] == std::byte{0});
    CHECK(mapping.data()[page] == std::byte{7});
}

TEST_CASE("memory costs nothing until it is touched") {
    const std::size_t large = physical_memory();
    REQUIRE(large > 0);
    const Fd memory = anonymous_memory("muster-test", large);
    const Mapping mapping = Mapping::read_write(memory, 0, large);
    mapping.data()[large - 1] = std::byte{1};
    CHECK(mapping.data()[0] == std::byte{0});
}

TEST_CASE("memory that can't be had is an error, not a signal") {
    CHECK_THROWS_AS((void)anonymous_memory("muster-test", std::numeric_limits<std::size_t>::max()),
                    std::system_error);
    CHECK_THROWS_AS((void)Mapping::read_write(-1, 0, 4096), std::system_error);
    CHECK_THROWS_AS((void)Mapping::read_only(-1, 0, 4096), std::system_error);

    ::rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    ::rlimit small = before;
    small.rlim_cur = 4096;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    int error = 0;
    try {
        (void)anonymous_memory("muster-test", 8192);
    } catch (const std::system_error& failed) {
        error = failed.code().value();
    }
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(error == EFBIG);
}

TEST_CASE("a bell is readable from ring to clear, however often it rang") {
    Bell bell;
    CHECK_FALSE(readable(bell.fd()));
    bell.ring();
    bell.ring();
    CHECK(readable(bell.fd()));
    bell.clear();
    CHECK_FALSE(readable(bell.fd()));
    bell.clear();  // Does not block.
}

TEST_CASE("a bell made from an inherited descriptor is the same bell") {
    Bell bell;
    Bell inherited{duplicate_above(bell.fd(), 3)};
    inherited.ring();
    CHECK(readable(bell.fd()));
    bell.clear();
    CHECK_FALSE(readable(inherited.fd()));
}

TEST_CASE("nonces differ") { CHECK(random_nonce() != random_nonce()); }

}  // namespace posix_fd_test
