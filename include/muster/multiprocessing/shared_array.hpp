// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <muster/detail/family/shared_bytes.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/serialization/require.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// Elements in a row that processes share, without a copy.
///
///     muster::multiprocessing::SharedArray<double> samples(1'000'000);
///     auto task = pool.submit([](muster::multiprocessing::SharedArray<double> its) {
///         std::fill(its.begin(), its.end(), 1.5);
///     }, samples);
///
/// All elements are zeros at first. A copy is the same array, in other processes too; the memory is
/// freed with the last one, at the latest with the last process that shares it. Elements are bytes:
/// numbers, and structs of them.
///
/// Thread safety: its own members; who may write which element when is the user's to say, with a
/// `Lock`, say.
template <typename T>
class SharedArray {
    static_assert(detail::crosses<T, std::is_trivially_copyable_v<T>>,
                  "muster: the elements of a SharedArray are bytes that processes share: use "
                  "numbers, or structs of them; for text use std::array<char, n>");
    static_assert(detail::crosses<T, (alignof(T) <= 64)>,
                  "muster: the elements of a SharedArray may be aligned to at most 64 bytes");

  public:
    using value_type = T;

    /// **Throws**: `std::invalid_argument` for a negative number; `std::bad_alloc`;
    /// `std::system_error`.
    template <std::integral Count>
    explicit SharedArray(Count count) : SharedArray(Bytes{bytes_for(count)}) {}

    [[nodiscard]] T* data() const { return reinterpret_cast<T*>(handle_->data()); }
    [[nodiscard]] std::size_t size() const { return handle_->size / sizeof(T); }
    [[nodiscard]] bool empty() const { return size() == 0; }
    [[nodiscard]] T* begin() const { return data(); }
    [[nodiscard]] T* end() const { return data() + size(); }

    /// Requires: `index < size()`.
    [[nodiscard]] T& operator[](std::size_t index) const { return data()[index]; }

    /// **Throws**: `std::out_of_range`.
    [[nodiscard]] T& at(std::size_t index) const {
        if (index >= size())
            throw std::out_of_range("muster: element " + std::to_string(index) +
                                    " of a SharedArray of " + std::to_string(size()));
        return data()[index];
    }

    [[nodiscard]] std::span<T> span() const { return {data(), size()}; }

  private:
    friend class muster::Access;
    struct Bytes {
        std::size_t count;
    };
    explicit SharedArray(Bytes bytes) : handle_{std::in_place, bytes.count, bytes.count} {}
    explicit SharedArray(Access::Unread) {}

    template <typename Count>
    static std::size_t bytes_for(Count count) {
        return detail::checked_bytes(detail::checked_size(count, 0, "the size of a SharedArray"),
                                     sizeof(T));
    }

    template <typename Archive>
    void serialize(Archive& ar) {
        ar(handle_);
    }

    detail::SharedHandle<detail::SharedBytes, detail::BlockKind::memory> handle_;
};

static_assert(Serializable<SharedArray<double>>);

}  // namespace muster::multiprocessing
