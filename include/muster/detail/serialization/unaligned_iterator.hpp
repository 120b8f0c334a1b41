// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <type_traits>

namespace muster::detail {

/// The value that has these bytes.
///
/// An enum is made from its underlying type: one whose underlying type is not fixed may not have
/// this value, and sanitizers complain where such an object is read.
template <typename T>
T from_bytes(const std::array<std::byte, sizeof(T)>& bytes) noexcept {
    if constexpr (std::is_enum_v<T>) {
        return static_cast<T>(std::bit_cast<std::underlying_type_t<T>>(bytes));
    } else {
        return std::bit_cast<T>(bytes);
    }
}

/// Reads values of a trivially copyable type from bytes that need not be aligned for it.
///
/// A container that is assigned from two of these takes the memory it needs at once, and each byte
/// is read once.
template <typename T>
class UnalignedIterator {
  public:
    using iterator_category = std::random_access_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = T;

    explicit UnalignedIterator(const std::byte* at) noexcept : at_{at} {}

    T operator*() const {
        std::array<std::byte, sizeof(T)> bytes;
        std::memcpy(bytes.data(), at_, sizeof(T));
        return from_bytes<T>(bytes);
    }
    T operator[](std::ptrdiff_t n) const { return *(*this + n); }

    UnalignedIterator& operator+=(std::ptrdiff_t n) {
        at_ += n * static_cast<std::ptrdiff_t>(sizeof(T));
        return *this;
    }
    UnalignedIterator& operator-=(std::ptrdiff_t n) { return *this += -n; }
    UnalignedIterator& operator++() { return *this += 1; }
    UnalignedIterator& operator--() { return *this -= 1; }
    UnalignedIterator operator++(int) {
        const UnalignedIterator before = *this;
        ++*this;
        return before;
    }
    UnalignedIterator operator--(int) {
        const UnalignedIterator before = *this;
        --*this;
        return before;
    }

    friend UnalignedIterator operator+(UnalignedIterator it, std::ptrdiff_t n) { return it += n; }
    friend UnalignedIterator operator+(std::ptrdiff_t n, UnalignedIterator it) { return it += n; }
    friend UnalignedIterator operator-(UnalignedIterator it, std::ptrdiff_t n) { return it -= n; }
    friend std::ptrdiff_t operator-(UnalignedIterator a, UnalignedIterator b) {
        return (a.at_ - b.at_) / static_cast<std::ptrdiff_t>(sizeof(T));
    }
    friend bool operator==(UnalignedIterator a, UnalignedIterator b) = default;
    friend auto operator<=>(UnalignedIterator a, UnalignedIterator b) = default;

  private:
    const std::byte* at_;
};

}  // namespace muster::detail
