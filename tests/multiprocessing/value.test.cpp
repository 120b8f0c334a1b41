// SPDX-License-Identifier: MIT
// ctest: concurrency
// Values and arrays in memory that processes share.
#include <muster/multiprocessing/shared_array.hpp>
#include <muster/multiprocessing/value.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstddef>
#include <new>
#include <ranges>
#include <stdexcept>
#include <vector>

#include "support/family.hpp"

namespace multiprocessing_value_test {

namespace {

namespace mp = muster::multiprocessing;
using muster::test::Copy;
using muster::test::family_bytes;

static_assert(std::ranges::contiguous_range<const mp::SharedArray<int>>);

/// All alike, whenever it is whole.
using Row = std::array<long, 512>;

Row row_of(long number) {
    Row row;
    row.fill(number);
    return row;
}
bool is_whole(const Row& row) {
    return std::all_of(row.begin(), row.end(), [&](long each) { return each == row[0]; });
}

}  // namespace

TEST_CASE("a value starts as it was made, and is set and updated in all copies of its handle") {
    const mp::Value<int> value(3);
    const mp::Value<int> same = value;
    CHECK(same.get() == 3);
    value.set(4);
    CHECK(same.update([](int& number) { number *= 2; }) == 8);
    CHECK(value.update([](int number) { return number + 1; }) == 9);
    CHECK(same.get() == 9);
    CHECK(mp::Value<double>().get() == 0.0);
}

TEST_CASE(
    "an update that throws leaves the value, and one inside its own update is refused "
    "[test_getobj_getlock]") {
    const mp::Value<int> value(3);
    CHECK_THROWS_AS(value.update([](int& number) {
        number = 4;
        throw std::out_of_range("too far");
    }),
                    std::out_of_range);
    CHECK(value.get() == 3);
    CHECK_THROWS_AS(value.update([&](int&) { (void)value.get(); }), muster::InvalidStateError);
    CHECK(value.update([](int& number) { ++number; }) == 4);
}

TEST_CASE("updates of several processes are not lost [test_synchronize]") {
    const mp::Value<long> sum(0);
    std::vector<Copy> copies;
    for (int i = 0; i < 4; ++i)
        copies.emplace_back([&] {
            for (int n = 0; n < 1'000; ++n) sum.update([](long& value) { ++value; });
        });
    for (Copy& copy : copies) CHECK(copy.join() == 0);
    CHECK(sum.get() == 4'000);
}

TEST_CASE("a process that is killed in the midst of an update leaves a whole value") {
    const mp::Value<Row> value(row_of(0));
    for (int i = 0; i < 200; ++i) {
        const long before = value.get()[0];
        Copy copy([&] {
            for (;;) value.update([](Row& row) { row = row_of(row[0] + 1); });
        });
        while (value.get()[0] == before) continue;  // It has begun.
        CHECK(copy.kill() == -SIGKILL);
        CHECK(is_whole(value.get()));
    }
    value.set(row_of(-1));
    CHECK(value.get() == row_of(-1));
}

TEST_CASE(
    "an array is zeros at first, also where another one was, small or large "
    "[test_array_from_size]") {
    (void)mp::Value<int>(0);
    const auto before = family_bytes();
    for (const std::size_t size : {1U, 100U, 5'000U, 40'000U, 300'000U}) {
        for (int i = 0; i < 2; ++i) {
            const mp::SharedArray<long> array(size);
            REQUIRE(array.size() == size);
            CHECK(std::all_of(array.begin(), array.end(), [](long each) { return each == 0; }));
            std::fill(array.begin(), array.end(), 7);
        }
    }
    CHECK(family_bytes() == before);
}

TEST_CASE("an array says what it holds, and refuses what is not there") {
    const mp::SharedArray<int> array(3);
    array[2] = 5;
    CHECK(array.at(2) == 5);
    CHECK(array.span().back() == 5);
    CHECK_THROWS_AS((void)array.at(3), std::out_of_range);
    CHECK(mp::SharedArray<int>(0).empty());
    CHECK_THROWS_AS(mp::SharedArray<int>(-1), std::invalid_argument);
    CHECK_THROWS_AS(mp::SharedArray<int>(~std::size_t{0}), std::bad_alloc);
}

TEST_CASE("what one process writes into an array the others have, without a copy") {
    const mp::SharedArray<int> array(1'000);
    Copy copy([&] { std::fill(array.begin(), array.end(), 9); });
    CHECK(copy.join() == 0);
    CHECK(std::count(array.begin(), array.end(), 9) == 1'000);
}

}  // namespace multiprocessing_value_test
