// SPDX-License-Identifier: MIT
// ctest: concurrency
// Bytes of one handle that are read as another, or are none.
#include <muster/multiprocessing.hpp>
#include <muster/serialization.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/family.hpp"

namespace multiprocessing_wrong_bytes_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::SerializationError;
using muster::test::family_bytes;
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

}  // namespace multiprocessing_wrong_bytes_test
