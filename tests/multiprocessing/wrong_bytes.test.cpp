// SPDX-License-Identifier: MIT
// ctest: concurrency
// Bytes of one handle that are read as another, or are none.
#include <muster/multiprocessing.hpp>
#include <muster/serialization.hpp>

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "posix/descriptors.hpp"
#include "support/family.hpp"

namespace multiprocessing_wrong_bytes_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::SerializationError;
using muster::test::family_bytes;
using muster::test::open_descriptors;
using Bytes = std::vector<std::byte>;
using Big = std::array<char, 4096>;

template <typename T>
T read(const Bytes& bytes) {
    return muster::deserialize<T>(bytes);
}

/// What it says when it refuses the bytes as such.
template <typename T>
std::string refusal_of(const Bytes& bytes) {
    try {
        (void)read<T>(bytes);
    } catch (const SerializationError& error) {
        return error.what();
    }
    return "taken";
}
bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
}

}  // namespace

TEST_CASE("a value is not read as a value of another size") {
    const mp::Value<char> letter('v');
    const mp::Value<Big> big(Big{'w'});
    const std::uint64_t before = family_bytes();
    for (int i = 0; i < 2; ++i) {
        CHECK(contains(refusal_of<mp::Value<Big>>(muster::serialize(letter)), "its object has"));
        CHECK_THROWS_AS((void)read<mp::Value<char>>(muster::serialize(big)), SerializationError);
    }
    CHECK(family_bytes() == before);  // What was refused refers to nothing.
    CHECK(read<mp::Value<char>>(muster::serialize(letter)).get() == 'v');
    CHECK(read<mp::Value<Big>>(muster::serialize(big)).get()[0] == 'w');
}

TEST_CASE("an array is read as one of as many elements as there is room for") {
    const mp::SharedArray<char> array(100);
    const auto others = read<mp::SharedArray<Big>>(muster::serialize(array));
    CHECK(others.empty());
    CHECK(read<mp::SharedArray<long>>(muster::serialize(array)).size() == 100 / sizeof(long));
}

TEST_CASE("a name that none can have is no handle's") {
    const std::string zero("a\0b", 3);
    for (const std::string& name : {std::string("a/b"), zero, std::string(201, 'x')}) {
        const Bytes bytes = muster::serialize(name);
        CHECK(contains(refusal_of<mp::Lock>(bytes), "cannot deserialize a handle: the name of"));
        CHECK_THROWS_AS((void)read<mp::RLock>(bytes), SerializationError);
        CHECK_THROWS_AS((void)read<mp::SharedMemory>(bytes), SerializationError);
        CHECK_THROWS_AS(mp::Lock{name}, std::invalid_argument);
    }
}

TEST_CASE("an address at which nobody hands out a connection is not connected to") {
    const mp::Listener listener;  // Takes everyone, and says nothing.
    const auto both = [](const std::string& handed_out_at, const std::string& its_own) {
        return muster::serialize(std::array{handed_out_at, its_own});
    };
    const auto descriptors = open_descriptors();
    for (const std::string& address :
         {listener.address(), std::string("/tmp/somewhere"), std::string("a\0b", 3),
          std::string(200, 'x'), "connection." + std::string(31, '0'),
          "connection." + std::string(32, 'x')}) {
        CHECK_THROWS_AS((void)read<mp::Connection>(muster::serialize(address)), SerializationError);
        CHECK_THROWS_AS((void)read<mp::Client>(muster::serialize(address)), SerializationError);
        CHECK_THROWS_AS((void)read<mp::Listener>(both(address, "own")), SerializationError);
    }

    const std::string unused = "." + std::string(32, '0');
    CHECK_THROWS_AS((void)read<mp::Connection>(muster::serialize("connection" + unused)),
                    muster::InvalidStateError);
    CHECK_THROWS_AS((void)read<mp::Listener>(both("listener" + unused, "own")),
                    muster::InvalidStateError);
    for (const std::string& own : {std::string(), std::string("a\0b", 3), std::string(200, 'x')})
        CHECK_THROWS_AS((void)read<mp::Listener>(both("listener" + unused, own)),
                        SerializationError);
    CHECK(open_descriptors() == descriptors);
    CHECK_FALSE(listener.accept_for(std::chrono::seconds(0)).has_value());
}

TEST_CASE("a listener is not read as a connection, nor the other way round") {
    const mp::Listener listener;
    const mp::Client client(listener.address());
    const auto address_in = [](const Bytes& bytes) {  // Which comes first, as a string.
        return Bytes(bytes.begin(), bytes.begin() + 1 + std::to_integer<int>(bytes.front()));
    };
    CHECK_THROWS_AS((void)read<mp::Connection>(address_in(muster::serialize(listener))),
                    SerializationError);
    Bytes bytes = address_in(muster::serialize(client));
    CHECK_NOTHROW((void)read<mp::Client>(bytes));
    const Bytes own = muster::serialize(std::string("own"));
    bytes.insert(bytes.end(), own.begin(), own.end());
    CHECK_THROWS_AS((void)read<mp::Listener>(bytes), SerializationError);
}

}  // namespace multiprocessing_wrong_bytes_test
