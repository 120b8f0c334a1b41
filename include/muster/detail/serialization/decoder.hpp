// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/type_list.hpp>
#include <muster/errors.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace muster::detail {

class Decoder;

/// Reads one value. Defined in decode.hpp.
template <typename T>
T decode(Decoder& in);

/// The archive that a value is read from.
///
/// A user's hook sees this class as its `Archive`: `ar(a, b)`, `ar & a & b` and `ar >> a >> b` all
/// read the values in that order.
///
/// The bytes may lie in memory that another process writes to. So every access is bounded, and each
/// byte is read at most once: what was checked is what is used.
class Decoder {
  public:
    using is_saving = std::false_type;
    using is_loading = std::true_type;

    explicit Decoder(std::span<const std::byte> bytes) noexcept
        : at_{bytes.data()}, end_{bytes.data() + bytes.size()}, warranted_{bytes.size()} {}
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    template <typename... Ts>
    Decoder& operator()(Ts&... values);

    template <typename T>
    Decoder& operator&(T& value) {
        return (*this)(value);
    }

    template <typename T>
    Decoder& operator>>(T& value) {
        return (*this)(value);
    }

    [[nodiscard]] std::size_t remaining() const noexcept {
        return static_cast<std::size_t>(end_ - at_);
    }

    /// The next `count` bytes. They are the caller's to read, once.
    template <typename T>
    [[nodiscard]] const std::byte* take(std::size_t count) {
        if (count > remaining()) fail_short(type_name<T>(), count, remaining());
        const std::byte* taken = at_;
        at_ += count;
        return taken;
    }

    /// Copies the next `count` bytes to `destination`.
    template <typename T>
    void read(void* destination, std::size_t count) {
        const std::byte* bytes = take<T>(count);
        if (count != 0) std::memcpy(destination, bytes, count);
    }

    template <typename T>
    [[nodiscard]] unsigned read_byte() {
        // Volatile: the compiler must not read the byte again after the caller checked it.
        return std::to_integer<unsigned>(*static_cast<const volatile std::byte*>(take<T>(1)));
    }

    /// Reads a byte that must be 0 or 1.
    template <typename T>
    [[nodiscard]] bool read_flag() {
        const unsigned value = read_byte<T>();
        if (value > 1) fail(type_name<T>(), "a flag is neither 0 nor 1");
        return value == 1;
    }

    /// Reads what Encoder::write_size() wrote.
    template <typename T>
    [[nodiscard]] std::uint64_t read_size() {
        std::uint64_t value = 0;
        for (unsigned shift = 0;; shift += 7) {
            const unsigned byte = read_byte<T>();
            if (shift == 63 && byte > 1) fail(type_name<T>(), "a count exceeds 64 bits");
            value |= std::uint64_t{byte & 0x7FU} << shift;
            if (byte < 0x80) return value;
        }
    }

    /// Reads the number of elements that follow, each of at least `bytes_each` bytes.
    template <typename T>
    [[nodiscard]] std::size_t read_count(std::size_t bytes_each) {
        const std::uint64_t count = read_size<T>();
        if (count > remaining() / bytes_each) fail_count(type_name<T>(), count, remaining());
        return static_cast<std::size_t>(count);
    }

    /// For how many of `count` elements room may be made before they are read.
    ///
    /// In total this is no more memory than the input has bytes: containers inside one another
    /// cannot each claim what the bytes could hold once.
    [[nodiscard]] std::size_t warrant(std::size_t count, std::size_t bytes_each) noexcept {
        const std::size_t granted = (std::min)(count, warranted_ / bytes_each);
        warranted_ -= granted * bytes_each;
        return granted;
    }

    /// Throws: `SerializationError` unless every byte was read.
    template <typename T>
    void expect_end() const {
        if (remaining() == 0) return;
        fail(type_name<T>(), std::to_string(remaining()) + " bytes are left over");
    }

    [[noreturn]] static void fail(std::string_view type, std::string_view what) {
        std::string message("muster: cannot deserialize ");
        message.append(type).append(": ").append(what);
        throw SerializationError(message);
    }

    /// What `make` makes of what was read. Throws: `SerializationError` when it throws
    /// `std::invalid_argument`: no `type` has that.
    template <typename Make>
    static std::invoke_result_t<Make> make_valid(std::string_view type, Make make) {
        try {
            return make();
        } catch (const std::invalid_argument& refusal) {
            std::string_view what = refusal.what();
            constexpr std::string_view prefix = "muster: ";
            if (what.starts_with(prefix)) what.remove_prefix(prefix.size());
            fail(type, what);
        }
    }

    unsigned containers = 0;  ///< The nesting of containers and smart pointers.
    unsigned hooks = 0;       ///< The nesting of user's hooks.

  private:
    [[noreturn]] static void fail_short(std::string_view type, std::size_t needed,
                                        std::size_t left) {
        fail(type, std::to_string(needed) + " bytes needed, " + std::to_string(left) + " left");
    }
    [[noreturn]] static void fail_count(std::string_view type, std::uint64_t claimed,
                                        std::size_t left) {
        fail(type, std::to_string(claimed) + " elements claimed, " + std::to_string(left) +
                       " bytes left");
    }

    const std::byte* at_;
    const std::byte* end_;
    std::size_t warranted_;
};

}  // namespace muster::detail
