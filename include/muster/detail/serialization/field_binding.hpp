// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/type_list.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// How many fields an aggregate may have.
inline constexpr std::size_t max_fields = 64;

// A structured binding has as many names as the class has fields, so each number is a case.
// clang-format off
#define MUSTER_FIELDS_8 a0, a1, a2, a3, a4, a5, a6, a7
#define MUSTER_FIELDS_16 MUSTER_FIELDS_8, b0, b1, b2, b3, b4, b5, b6, b7
#define MUSTER_FIELDS_24 MUSTER_FIELDS_16, c0, c1, c2, c3, c4, c5, c6, c7
#define MUSTER_FIELDS_32 MUSTER_FIELDS_24, d0, d1, d2, d3, d4, d5, d6, d7
#define MUSTER_FIELDS_40 MUSTER_FIELDS_32, e0, e1, e2, e3, e4, e5, e6, e7
#define MUSTER_FIELDS_48 MUSTER_FIELDS_40, f0, f1, f2, f3, f4, f5, f6, f7
#define MUSTER_FIELDS_56 MUSTER_FIELDS_48, g0, g1, g2, g3, g4, g5, g6, g7
#define MUSTER_FIELDS_64 MUSTER_FIELDS_56, h0, h1, h2, h3, h4, h5, h6, h7
#define MUSTER_BIND(count, ...)              \
    else if constexpr (Count == (count)) {   \
        auto& [__VA_ARGS__] = object;        \
        return use(__VA_ARGS__);             \
    }

/// Calls `use` with a reference to each of the `Count` fields of the aggregate.
template <std::size_t Count, typename T, typename Use>
constexpr decltype(auto) with_fields([[maybe_unused]] T& object, Use&& use) {
    if constexpr (Count == 0) { return use(); }
    MUSTER_BIND(1, a0)
    MUSTER_BIND(2, a0, a1)
    MUSTER_BIND(3, a0, a1, a2)
    MUSTER_BIND(4, a0, a1, a2, a3)
    MUSTER_BIND(5, a0, a1, a2, a3, a4)
    MUSTER_BIND(6, a0, a1, a2, a3, a4, a5)
    MUSTER_BIND(7, a0, a1, a2, a3, a4, a5, a6)
    MUSTER_BIND(8, MUSTER_FIELDS_8)
    MUSTER_BIND(9, MUSTER_FIELDS_8, b0)
    MUSTER_BIND(10, MUSTER_FIELDS_8, b0, b1)
    MUSTER_BIND(11, MUSTER_FIELDS_8, b0, b1, b2)
    MUSTER_BIND(12, MUSTER_FIELDS_8, b0, b1, b2, b3)
    MUSTER_BIND(13, MUSTER_FIELDS_8, b0, b1, b2, b3, b4)
    MUSTER_BIND(14, MUSTER_FIELDS_8, b0, b1, b2, b3, b4, b5)
    MUSTER_BIND(15, MUSTER_FIELDS_8, b0, b1, b2, b3, b4, b5, b6)
    MUSTER_BIND(16, MUSTER_FIELDS_16)
    MUSTER_BIND(17, MUSTER_FIELDS_16, c0)
    MUSTER_BIND(18, MUSTER_FIELDS_16, c0, c1)
    MUSTER_BIND(19, MUSTER_FIELDS_16, c0, c1, c2)
    MUSTER_BIND(20, MUSTER_FIELDS_16, c0, c1, c2, c3)
    MUSTER_BIND(21, MUSTER_FIELDS_16, c0, c1, c2, c3, c4)
    MUSTER_BIND(22, MUSTER_FIELDS_16, c0, c1, c2, c3, c4, c5)
    MUSTER_BIND(23, MUSTER_FIELDS_16, c0, c1, c2, c3, c4, c5, c6)
    MUSTER_BIND(24, MUSTER_FIELDS_24)
    MUSTER_BIND(25, MUSTER_FIELDS_24, d0)
    MUSTER_BIND(26, MUSTER_FIELDS_24, d0, d1)
    MUSTER_BIND(27, MUSTER_FIELDS_24, d0, d1, d2)
    MUSTER_BIND(28, MUSTER_FIELDS_24, d0, d1, d2, d3)
    MUSTER_BIND(29, MUSTER_FIELDS_24, d0, d1, d2, d3, d4)
    MUSTER_BIND(30, MUSTER_FIELDS_24, d0, d1, d2, d3, d4, d5)
    MUSTER_BIND(31, MUSTER_FIELDS_24, d0, d1, d2, d3, d4, d5, d6)
    MUSTER_BIND(32, MUSTER_FIELDS_32)
    MUSTER_BIND(33, MUSTER_FIELDS_32, e0)
    MUSTER_BIND(34, MUSTER_FIELDS_32, e0, e1)
    MUSTER_BIND(35, MUSTER_FIELDS_32, e0, e1, e2)
    MUSTER_BIND(36, MUSTER_FIELDS_32, e0, e1, e2, e3)
    MUSTER_BIND(37, MUSTER_FIELDS_32, e0, e1, e2, e3, e4)
    MUSTER_BIND(38, MUSTER_FIELDS_32, e0, e1, e2, e3, e4, e5)
    MUSTER_BIND(39, MUSTER_FIELDS_32, e0, e1, e2, e3, e4, e5, e6)
    MUSTER_BIND(40, MUSTER_FIELDS_40)
    MUSTER_BIND(41, MUSTER_FIELDS_40, f0)
    MUSTER_BIND(42, MUSTER_FIELDS_40, f0, f1)
    MUSTER_BIND(43, MUSTER_FIELDS_40, f0, f1, f2)
    MUSTER_BIND(44, MUSTER_FIELDS_40, f0, f1, f2, f3)
    MUSTER_BIND(45, MUSTER_FIELDS_40, f0, f1, f2, f3, f4)
    MUSTER_BIND(46, MUSTER_FIELDS_40, f0, f1, f2, f3, f4, f5)
    MUSTER_BIND(47, MUSTER_FIELDS_40, f0, f1, f2, f3, f4, f5, f6)
    MUSTER_BIND(48, MUSTER_FIELDS_48)
    MUSTER_BIND(49, MUSTER_FIELDS_48, g0)
    MUSTER_BIND(50, MUSTER_FIELDS_48, g0, g1)
    MUSTER_BIND(51, MUSTER_FIELDS_48, g0, g1, g2)
    MUSTER_BIND(52, MUSTER_FIELDS_48, g0, g1, g2, g3)
    MUSTER_BIND(53, MUSTER_FIELDS_48, g0, g1, g2, g3, g4)
    MUSTER_BIND(54, MUSTER_FIELDS_48, g0, g1, g2, g3, g4, g5)
    MUSTER_BIND(55, MUSTER_FIELDS_48, g0, g1, g2, g3, g4, g5, g6)
    MUSTER_BIND(56, MUSTER_FIELDS_56)
    MUSTER_BIND(57, MUSTER_FIELDS_56, h0)
    MUSTER_BIND(58, MUSTER_FIELDS_56, h0, h1)
    MUSTER_BIND(59, MUSTER_FIELDS_56, h0, h1, h2)
    MUSTER_BIND(60, MUSTER_FIELDS_56, h0, h1, h2, h3)
    MUSTER_BIND(61, MUSTER_FIELDS_56, h0, h1, h2, h3, h4)
    MUSTER_BIND(62, MUSTER_FIELDS_56, h0, h1, h2, h3, h4, h5)
    MUSTER_BIND(63, MUSTER_FIELDS_56, h0, h1, h2, h3, h4, h5, h6)
    MUSTER_BIND(64, MUSTER_FIELDS_64)
}

#undef MUSTER_BIND
#undef MUSTER_FIELDS_8
#undef MUSTER_FIELDS_16
#undef MUSTER_FIELDS_24
#undef MUSTER_FIELDS_32
#undef MUSTER_FIELDS_40
#undef MUSTER_FIELDS_48
#undef MUSTER_FIELDS_56
#undef MUSTER_FIELDS_64
// clang-format on

struct ListFields {
    // By const reference: a bit-field becomes a temporary here, instead of an error.
    template <typename... Fields>
    constexpr TypeList<Fields...> operator()(const Fields&...) const {
        return {};
    }
};

/// The types of the fields, as a TypeList.
template <typename T, std::size_t Count>
using FieldsOf = decltype(with_fields<Count>(std::declval<const T&>(), ListFields{}));

struct TouchFields {
    template <typename... Fields>
    constexpr bool operator()(const Fields&...) const {
        return true;
    }
};

/// A place for an object that is never made: only references to its fields are.
template <typename T>
union Husk {
    char nothing;
    T object;
    constexpr Husk() noexcept : nothing{} {}
    constexpr ~Husk() {}
};

#if defined(__clang__)
/// clang wants a husk that needs no destroying. It is constant, unused at run time and not emitted.
template <typename T>
struct HuskOf {
    [[clang::no_destroy]] inline static constinit Husk<T> husk{};
};

template <typename T, std::size_t Count>
constexpr bool touch_fields() {
    return with_fields<Count>(HuskOf<T>::husk.object, TouchFields{});
}
#else
template <typename T, std::size_t Count>
constexpr bool touch_fields() {
    Husk<T> husk;
    return with_fields<Count>(husk.object, TouchFields{});
}
#endif

template <bool>
struct IsConstant;

/// Tells bit-fields, which no type shows: to bind a reference to one is to read it first, and what
/// does not exist cannot be read in a constant.
template <typename T, std::size_t Count>
inline constexpr bool has_bit_fields = !requires { typename IsConstant<touch_fields<T, Count>()>; };

}  // namespace muster::detail
