// SPDX-License-Identifier: MIT
// ctest: alone
// Exceptions whose bytes are cut, changed or made to do harm; and no memory to write or read them.
#include <muster/detail/process/exception_transport.hpp>

#include <support/exceptions.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

namespace {

/// How many more allocations succeed.
thread_local std::size_t allocations_left = (std::numeric_limits<std::size_t>::max)();

}  // namespace

void* operator new(std::size_t size) {
    if (allocations_left == 0) throw std::bad_alloc();
    --allocations_left;
    if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using exceptions::Bytes;
using exceptions::encoded;
using exceptions::is_exactly;
using exceptions::remote;
using exceptions::with_exactly;
using muster::detail::decode_exception;
using muster::detail::encode_exception;

struct Own : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::vector<std::exception_ptr> samples() {
    return {std::make_exception_ptr(std::out_of_range("far away")),
            std::make_exception_ptr(std::bad_alloc()),
            std::make_exception_ptr(std::bad_variant_access()),
            std::make_exception_ptr(std::system_error(2, std::generic_category(), "open")),
            std::make_exception_ptr(muster::WorkerCrashed("fell", 4711, -9, 9)),
            std::make_exception_ptr(muster::RemoteError("bank::Overdrawn", "by 3")),
            std::make_exception_ptr(Own("mine")),
            std::make_exception_ptr(42)};
}

/// Bytes as a worker could write them that is not itself any more.
class Forged {
  public:
    Forged& byte(unsigned value) {
        bytes_.push_back(static_cast<std::byte>(value));
        return *this;
    }
    Forged& text(std::string_view text) {
        byte(static_cast<unsigned>(text.size()));
        for (const char c : text) byte(static_cast<unsigned char>(c));
        return *this;
    }
    [[nodiscard]] std::exception_ptr arrival() const { return decode_exception(bytes_); }

  private:
    Bytes bytes_;
};

/// A buffer with room for so many bytes and no more.
class SmallBuffer final : public muster::detail::ByteBuffer {
  public:
    explicit SmallBuffer(std::size_t room) : bytes_(room) {
        data = bytes_.data();
        capacity = room;
    }

  private:
    void grow(std::size_t) override { throw std::bad_alloc(); }

    Bytes bytes_;
};

template <typename Work>
void with_allocations(std::size_t count, Work work) {
    allocations_left = count;
    work();
    allocations_left = (std::numeric_limits<std::size_t>::max)();
}

}  // namespace

TEST_CASE("bytes that are cut anywhere give SerializationError") {
    for (const std::exception_ptr& sample : samples()) {
        const Bytes whole = encoded(sample);
        for (std::size_t size = 1; size < whole.size(); ++size) {
            const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
            CHECK(is_exactly<muster::SerializationError>(decode_exception(cut)));
        }
        Bytes longer = whole;
        longer.push_back(std::byte{0});
        CHECK(is_exactly<muster::SerializationError>(decode_exception(longer)));
    }
}

TEST_CASE("no bytes at all mean that there was no memory for any") {
    const auto said = remote(decode_exception({}));
    CHECK(said.type_name == "unknown");
    CHECK(said.what.find("memory") != std::string::npos);
}

TEST_CASE("bytes of which one is changed give some exception") {
    for (const std::exception_ptr& sample : samples()) {
        const Bytes whole = encoded(sample);
        for (std::size_t at = 0; at < whole.size(); ++at) {
            for (unsigned value = 0; value < 256; ++value) {
                Bytes changed = whole;
                changed[at] = static_cast<std::byte>(value);
                REQUIRE(decode_exception(changed) != nullptr);
            }
        }
    }
}

TEST_CASE("random bytes give some exception") {
    std::uint32_t state = 12345;
    const auto next = [&state] { return state = state * 1664525U + 1013904223U, state >> 16; };
    for (int round = 0; round < 20000; ++round) {
        Bytes bytes(next() % 64);
        for (std::byte& byte : bytes)
            byte = static_cast<std::byte>(next() % 4 != 0 ? next() % 16 : next());
        REQUIRE(decode_exception(bytes) != nullptr);
    }
}

TEST_CASE("what could never have been written gives SerializationError") {
    using muster::SerializationError;
    CHECK(is_exactly<SerializationError>(Forged().byte(2).text("int").text("").arrival()));
    CHECK(is_exactly<SerializationError>(
        Forged().byte(0).byte(0xFF).byte(0xFF).byte(0x7F).arrival()));
    Forged endless;
    endless.byte(0);
    for (int i = 0; i < 20; ++i) endless.byte(0xFF);
    CHECK(is_exactly<SerializationError>(endless.arrival()));
    for (const unsigned category : {3U, 200U}) {
        Forged forged;
        forged.byte(1).text("std::system_error").text("open").byte(category);
        for (std::size_t i = 0; i < sizeof(int); ++i) forged.byte(1);
        CHECK(is_exactly<SerializationError>(forged.arrival()));
    }
    Forged crash;
    crash.byte(1).text("muster::WorkerCrashed").text("fell");
    for (std::size_t i = 0; i < sizeof(int); ++i) crash.byte(1);
    CHECK(is_exactly<SerializationError>(crash.byte(7).byte(0).arrival()));
}

TEST_CASE("a type to be rebuilt that is not known here gives RemoteError") {
    const auto said =
        remote(Forged().byte(1).text("bank::Overdrawn").text("by 3").byte(99).arrival());
    CHECK(said == exceptions::Remote{"bank::Overdrawn", "by 3"});
}

TEST_CASE(
    "a buffer without room gets the text cut, and in the end nothing; never another's bytes") {
    const std::string huge(1 << 20, 'x');
    const auto error = std::make_exception_ptr(std::range_error(huge));
    bool arrived_cut = false;
    for (std::size_t room = 0; room < 400; ++room) {
        SmallBuffer buffer(room + 1);
        buffer.data[buffer.size++] = std::byte{77};  // Somebody else's.
        encode_exception(buffer, error);
        REQUIRE(buffer.size >= 1);
        REQUIRE(buffer.data[0] == std::byte{77});
        const auto arrived = decode_exception({buffer.data + 1, buffer.size - 1});
        const bool cut =
            with_exactly<std::range_error>(arrived, [&](const std::range_error& received) {
                CHECK(huge.starts_with(received.what()));
                CHECK(std::string_view(received.what()).size() == 256);
            });
        arrived_cut = arrived_cut || cut;
        if (!cut) {
            CHECK(buffer.size == 1);
            CHECK(is_exactly<muster::RemoteError>(arrived));
        }
    }
    CHECK(arrived_cut);
}

TEST_CASE("wherever memory ends while writing, there is still an exception") {
    for (const std::exception_ptr& sample : samples()) {
        const Bytes whole = encoded(sample);
        bool complete = false;
        for (std::size_t count = 0; !complete && count < 100; ++count) {
            muster::detail::HeapBuffer buffer;
            with_allocations(count, [&] { encode_exception(buffer, sample); });
            complete =
                std::equal(buffer.data, buffer.data + buffer.size, whole.begin(), whole.end());
            const auto arrived = decode_exception({buffer.data, buffer.size});
            REQUIRE(arrived != nullptr);
            CHECK(!is_exactly<muster::SerializationError>(arrived));
        }
        CHECK(complete);
    }
}

TEST_CASE("wherever memory ends while reading, there is still an exception") {
    for (const std::exception_ptr& sample : samples()) {
        const Bytes whole = encoded(sample);
        for (std::size_t count = 0; count < 40; ++count) {
            std::exception_ptr arrived;
            with_allocations(count, [&] { arrived = decode_exception(whole); });
            CHECK(arrived != nullptr);
        }
    }
}
