// SPDX-License-Identifier: MIT
// ctest: start_methods
// What may be a pool's initializer, and how it is called; what becomes of a pool whose initializer
// throws is in thread_pool_executor.test.cpp and process/replacement.test.cpp.
#include <doctest/doctest.h>

#include <cstdio>
#include <iostream>
#include <string>
#include <type_traits>
#include <utility>

#include "support/executors.hpp"

namespace pool_initializer_test {

namespace {

using muster::ThreadPoolExecutor;

struct Room {
    Room() = default;
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    std::string sign;
};
thread_local Room room;  // Of a thread, and so of a worker process.

std::string sign() { return room.sign; }

// What these return can neither be copied nor go to another process.
Room& open_room(const std::string& sign) {
    room.sign = sign;
    return room;
}
std::FILE* open_file() {
    room.sign = "a file";
    return stderr;
}

struct Takes {
    std::string operator()(const std::string&) & { return room.sign = "an lvalue"; }
    std::string operator()(std::string&& own) && { return room.sign = std::move(own); }
};

template <typename E>
using Initializer = std::conditional_t<std::is_same_v<E, ThreadPoolExecutor>,
                                       muster::ThreadInitializer, muster::ProcessInitializer>;

/// What the only worker of a pool finds in its room.
template <typename E>
std::string sign_of(Initializer<E> initializer) {
    return E({.max_workers = 1, .initializer = std::move(initializer)}).submit(sign).result();
}

}  // namespace

TEST_CASE_TEMPLATE("what an initializer returns is dropped, whatever it is", E, EVERY_POOL) {
    CHECK(sign_of<E>({open_room, "a room"}) == "a room");
    CHECK(sign_of<E>(open_file) == "a file");
    CHECK(sign_of<E>({[](auto s) { return &(room.sign = s); }, "any"}) == "any");
}

TEST_CASE_TEMPLATE("an initializer is called as submit calls: once, with rvalues", E, EVERY_POOL) {
    const std::string text = "kept";
    CHECK(sign_of<E>({[](std::string&& own) { room.sign = std::move(own); }, text}) == "kept");
    CHECK(sign_of<E>({[](std::string&& own) { room.sign = std::move(own); }, "literal"}) ==
          "literal");
    CHECK(sign_of<E>({Takes{}, text}) == "kept");
}

TEST_CASE("an initializer of threads that insists on a pointer gets a literal as it is") {
    CHECK(sign_of<ThreadPoolExecutor>({[](const char* s) { room.sign = s; }, "literal"}) ==
          "literal");
}

}  // namespace pool_initializer_test
