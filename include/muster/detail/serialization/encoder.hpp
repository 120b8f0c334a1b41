// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/buffer.hpp>
#include <muster/errors.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

namespace muster::detail {

class Encoder;

/// Writes one value. Defined in encode.hpp.
template <typename T>
void encode(Encoder& out, const T& value);

/// How many containers, smart pointers or user's hooks may be inside one another.
///
/// Each of them takes stack when it is written or read: bytes must not choose how much.
inline constexpr unsigned max_nesting = 500;

/// Counts one level of nesting while it lives.
///
/// Throws: `SerializationError` below the deepest level that is allowed.
class NestingLevel {
  public:
    explicit NestingLevel(unsigned& depth) : depth_{depth} {
        if (depth == max_nesting) fail();
        ++depth;
    }
    NestingLevel(const NestingLevel&) = delete;
    NestingLevel& operator=(const NestingLevel&) = delete;
    ~NestingLevel() { --depth_; }

  private:
    [[noreturn]] static void fail() {
        throw SerializationError("muster: values are nested deeper than " +
                                 std::to_string(max_nesting) + " levels");
    }

    unsigned& depth_;
};

/// The archive that a value is written to.
///
/// A user's hook sees this class as its `Archive`: `ar(a, b)`, `ar & a & b` and `ar << a << b` all
/// write the values in that order.
class Encoder {
  public:
    using is_saving = std::true_type;
    using is_loading = std::false_type;

    explicit Encoder(ByteBuffer& buffer) noexcept : buffer_{buffer} {}
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;

    template <typename... Ts>
    Encoder& operator()(const Ts&... values);

    template <typename T>
    Encoder& operator&(const T& value) {
        return (*this)(value);
    }

    template <typename T>
    Encoder& operator<<(const T& value) {
        return (*this)(value);
    }

    void write(const void* bytes, std::size_t count) { buffer_.append(bytes, count); }

    void write_byte(unsigned value) {
        buffer_.reserve(1);
        buffer_.data[buffer_.size++] = static_cast<std::byte>(value);
    }

    /// Writes a count or an index: seven bits a byte, the lowest first.
    void write_size(std::uint64_t value) {
        while (value >= 0x80) {
            write_byte(static_cast<unsigned>(value & 0x7F) | 0x80U);
            value >>= 7;
        }
        write_byte(static_cast<unsigned>(value));
    }

    /// Keeps an object alive as long as the bytes that speak of it.
    void keep(std::shared_ptr<SharedReference> object) {
        buffer_.kept.push_back(std::move(object));
    }

    /// How many bytes the buffer holds.
    [[nodiscard]] std::size_t written() const noexcept { return buffer_.size; }

    unsigned containers = 0;  ///< The nesting of containers and smart pointers.
    unsigned hooks = 0;       ///< The nesting of user's hooks.

  private:
    ByteBuffer& buffer_;
};

}  // namespace muster::detail
