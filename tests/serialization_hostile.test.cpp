// SPDX-License-Identifier: MIT
// Bytes that serialize() did not write: cut, changed, or made to do harm.
#include <muster/serialization.hpp>

#include <doctest/doctest.h>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace serialization_hostile_test {

namespace {

using Bytes = std::vector<std::byte>;

struct Empty {};

enum Loose { first, second };  // No fixed underlying type: the language knows of 0 and 1 only.

struct Marked {
    std::string name;
    Loose mark;
};

struct Tree {
    int value;
    std::vector<Tree> children;
};

struct Node {
    std::unique_ptr<Node> next;
};

struct Everything {
    bool flag;
    std::string text;
    int grid[2];
    std::vector<bool> bits;
    std::vector<Empty> empties;
    std::vector<std::vector<double>> matrix;
    std::map<std::string, std::optional<int>> map;
    std::set<std::u16string> set;
    std::unordered_map<int, std::string> hash;
    std::variant<std::monostate, int, std::string> variant;
    std::shared_ptr<std::deque<long>> pointer;
    std::bitset<13> bitset;
    Loose loose;
    std::vector<Loose> loosely;
    Marked marked;
    Tree tree;
};

Everything everything() {
    return {.flag = true,
            .text = "some text",
            .grid = {1, 2},
            .bits = {true, false},
            .empties = std::vector<Empty>(3),
            .matrix = {{1, 2}, {}, {3}},
            .map = {{"a", 1}, {"b", std::nullopt}},
            .set = {u"x", u"yz"},
            .hash = {{1, "one"}, {2, "two"}},
            .variant = "variant",
            .pointer = std::make_shared<std::deque<long>>(3, 4L),
            .bitset = std::bitset<13>(0x1234U),
            .loose = second,
            .loosely = {first, second},
            .marked = {"name", second},
            .tree = {1, {{2, {}}, {3, {{4, {}}}}}}};
}

Bytes size_bytes(std::uint64_t value) {
    Bytes bytes;
    for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<std::byte>(value | 0x80));
    bytes.push_back(static_cast<std::byte>(value));
    return bytes;
}

template <typename T>
std::string error_of(const Bytes& bytes) {
    try {
        (void)muster::deserialize<T>(bytes);
    } catch (const muster::SerializationError& error) {
        return error.what();
    }
    return "no error";
}

/// Reads from memory of exactly the input's size, so that a sanitizer sees one byte too many.
template <typename T>
bool reads_or_refuses(const std::byte* data, std::size_t size) {
    const std::unique_ptr<std::byte[]> exact(new std::byte[size]);
    if (size != 0) std::memcpy(exact.get(), data, size);
    try {
        (void)muster::deserialize<T>(std::span<const std::byte>(exact.get(), size));
        return true;
    } catch (const muster::SerializationError&) {
        return false;
    }
}

/// An allocator that remembers the largest request, and all of them together.
struct Requests {
    std::size_t largest = 0;
    std::size_t total = 0;
};
Requests requests;

template <typename T>
struct Counting {
    using value_type = T;
    Counting() = default;
    template <typename U>
    Counting(const Counting<U>&) noexcept {}
    T* allocate(std::size_t n) {
        requests.largest = std::max(requests.largest, n * sizeof(T));
        requests.total += n * sizeof(T);
        return std::allocator<T>().allocate(n);
    }
    void deallocate(T* p, std::size_t n) noexcept { std::allocator<T>().deallocate(p, n); }
    bool operator==(const Counting&) const = default;
};

template <typename T>
using CountedVector = std::vector<T, Counting<T>>;

struct CountedTree {
    std::array<char, 40> ballast;
    CountedVector<CountedTree> children;
};

}  // namespace

TEST_CASE("every value cut short is refused") {
    const Bytes bytes = muster::serialize(everything());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        CHECK_FALSE(reads_or_refuses<Everything>(bytes.data(), size));
    }
    CHECK(reads_or_refuses<Everything>(bytes.data(), bytes.size()));
}

TEST_CASE("every changed byte is read or refused, and never does harm") {
    const Bytes bytes = muster::serialize(everything());
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (unsigned value = 0; value < 256; ++value) {
            Bytes changed = bytes;
            changed[at] = static_cast<std::byte>(value);
            (void)reads_or_refuses<Everything>(changed.data(), changed.size());
        }
    }
}

TEST_CASE("bytes made up at random are read or refused, and never do harm") {
    std::uint64_t state = 1;
    Bytes bytes(200);
    for (int round = 0; round < 5000; ++round) {
        for (std::byte& byte : bytes) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            const auto random = static_cast<unsigned>(state >> 33);
            byte = static_cast<std::byte>(random % 3 == 0 ? random >> 8 : random % 4);
        }
        (void)reads_or_refuses<Everything>(bytes.data(), bytes.size());
        (void)reads_or_refuses<Tree>(bytes.data(), bytes.size());
    }
}

TEST_CASE("bytes left over are refused") {
    Bytes bytes = muster::serialize(5);
    bytes.push_back(std::byte{0});
    CHECK(error_of<int>(bytes) == "muster: cannot deserialize int: 1 bytes are left over");
}

TEST_CASE("an error says what was claimed and what is left") {
    Bytes bytes = size_bytes(12);
    bytes.resize(4);
    const std::string error = error_of<std::vector<int>>(bytes);
    CHECK(error.find("vector") != std::string::npos);
    CHECK(error.find("12 elements claimed, 3 bytes left") != std::string::npos);
}

TEST_CASE("flags, alternatives and bits that do not exist are refused") {
    CHECK(error_of<bool>({std::byte{2}}) ==
          "muster: cannot deserialize bool: a flag is neither 0 nor 1");
    CHECK(error_of<std::vector<bool>>({std::byte{1}, std::byte{2}}) != "no error");
    CHECK(error_of<std::optional<int>>({std::byte{3}}) != "no error");
    CHECK(error_of<std::variant<std::monostate, int>>({std::byte{2}}) != "no error");
    CHECK(error_of<std::bitset<3>>({std::byte{8}}) != "no error");
    CHECK(error_of<std::bitset<3>>({std::byte{7}}) == "no error");
    CHECK(error_of<std::vector<Empty>>({std::byte{1}, std::byte{1}}) != "no error");
}

TEST_CASE("an enum takes every value of its underlying type, also without a fixed one") {
    const auto bits_of = [](const Loose& value) {  // Without reading it as what it may not be.
        std::underlying_type_t<Loose> bits = 0;
        std::memcpy(&bits, &value, sizeof bits);
        return bits;
    };
    const auto value = static_cast<std::underlying_type_t<Loose>>(0x12345678);
    const Marked marked =
        muster::deserialize<Marked>(muster::serialize(std::pair(std::string("name"), value)));
    CHECK(bits_of(marked.mark) == value);
    const auto several =
        muster::deserialize<std::vector<Loose>>(muster::serialize(std::vector{value, value + 1}));
    REQUIRE(several.size() == 2);
    CHECK(bits_of(several[0]) == value);
    CHECK(bits_of(several[1]) == value + 1);

    enum class Fixed : short { only = 1 };
    const auto fixed = muster::deserialize<Fixed>(muster::serialize(short{-300}));
    CHECK(static_cast<short>(fixed) == -300);
}

TEST_CASE("counts beyond 64 bits are refused") {
    Bytes bytes(9, std::byte{0xFF});
    bytes.push_back(std::byte{2});
    CHECK(error_of<std::string>(bytes).find("64 bits") != std::string::npos);
    CHECK(error_of<std::string>(Bytes(30, std::byte{0xFF})).find("64 bits") != std::string::npos);
}

TEST_CASE("a huge count is refused before memory is taken, for elements without bytes too") {
    for (const std::uint64_t count :
         {std::uint64_t{100}, std::uint64_t{1} << 31U, std::uint64_t{1} << 61U,
          std::numeric_limits<std::uint64_t>::max()}) {
        const Bytes bytes = size_bytes(count);
        requests = {};
        CHECK(error_of<CountedVector<int>>(bytes) != "no error");
        CHECK(error_of<CountedVector<std::string>>(bytes) != "no error");
        CHECK(error_of<CountedVector<Empty>>(bytes) != "no error");
        CHECK(error_of<std::map<int, int>>(bytes) != "no error");
        CHECK(error_of<std::u32string>(bytes) != "no error");
        CHECK(requests.total == 0);
    }
}

TEST_CASE("containers inside one another cannot each take what the bytes warrant once") {
    Bytes bytes;
    for (int level = 0; level < 400; ++level) {
        bytes.insert(bytes.end(), 40, std::byte{0});
        const Bytes count = size_bytes(2'000);
        bytes.insert(bytes.end(), count.begin(), count.end());
    }
    bytes.resize(bytes.size() + 2'000);
    requests = {};
    CHECK(error_of<CountedTree>(bytes) != "no error");
    CHECK(requests.total <= 10 * bytes.size());
    CHECK(requests.largest <= 2 * bytes.size());
}

TEST_CASE("values nested more than 500 levels deep are refused, written and read") {
    const auto chain = [](int levels) {
        Node node;
        for (int i = 0; i < levels; ++i) {
            Node outer;
            outer.next = std::make_unique<Node>(std::move(node));
            node = std::move(outer);
        }
        return node;
    };
    CHECK(muster::deserialize<Node>(muster::serialize(chain(499))).next != nullptr);
    CHECK_THROWS_AS((void)muster::serialize(chain(500)), muster::SerializationError);

    CHECK(error_of<Node>(Bytes(501, std::byte{1})).find("500 levels") != std::string::npos);
    CHECK(error_of<Node>(Bytes(1'000'000, std::byte{1})).find("500 levels") != std::string::npos);
    CHECK(error_of<Tree>(Bytes(1'000'000, std::byte{1})).find("500 levels") != std::string::npos);
}

TEST_CASE("a circle of shared pointers is refused") {
    struct Circle {
        std::shared_ptr<Circle> next;
    };
    const auto circle = std::make_shared<Circle>();
    circle->next = circle;
    CHECK_THROWS_AS((void)muster::serialize(circle), muster::SerializationError);
    circle->next = nullptr;
}

TEST_CASE("repeated keys are harmless") {
    const Bytes bytes = muster::serialize(std::vector<int>{7, 7, 7});
    CHECK(muster::deserialize<std::set<int>>(bytes).size() == 1);
    CHECK(muster::deserialize<std::multiset<int>>(bytes).size() == 3);
    const Bytes pairs = muster::serialize(std::vector<std::pair<int, int>>{{1, 2}, {1, 3}});
    CHECK(muster::deserialize<std::map<int, int>>(pairs).at(1) == 2);
}

}  // namespace serialization_hostile_test
