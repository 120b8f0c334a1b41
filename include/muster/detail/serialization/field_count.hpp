// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/field_binding.hpp>

#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace muster::detail {

// `{}` initialises exactly one field, an array too, so as many `{}` as an aggregate takes, so many
// fields it has. A pattern `{}...` does not exist: again each number is a case.
// clang-format off
#define MUSTER_BRACES_1 {},
#define MUSTER_BRACES_2 {}, {},
#define MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_2
#define MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_4
#define MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_8
#define MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_16
#define MUSTER_BRACES_64 MUSTER_BRACES_32 MUSTER_BRACES_32
#define MUSTER_TAKES(count, braces) \
    else if constexpr (Count == (count)) return requires { T{braces Last{}...}; };

/// Whether `T{{}, {}, ..., Last{}}` is valid, with `Count` pairs of braces.
template <typename T, std::size_t Count, typename... Last>
constexpr bool takes_braces() {
    if constexpr (Count == 0) return requires { T{Last{}...}; };
    MUSTER_TAKES(1, MUSTER_BRACES_1)
    MUSTER_TAKES(2, MUSTER_BRACES_2)
    MUSTER_TAKES(3, MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(4, MUSTER_BRACES_4)
    MUSTER_TAKES(5, MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(6, MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(7, MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(8, MUSTER_BRACES_8)
    MUSTER_TAKES(9, MUSTER_BRACES_8 MUSTER_BRACES_1)
    MUSTER_TAKES(10, MUSTER_BRACES_8 MUSTER_BRACES_2)
    MUSTER_TAKES(11, MUSTER_BRACES_8 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(12, MUSTER_BRACES_8 MUSTER_BRACES_4)
    MUSTER_TAKES(13, MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(14, MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(15, MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(16, MUSTER_BRACES_16)
    MUSTER_TAKES(17, MUSTER_BRACES_16 MUSTER_BRACES_1)
    MUSTER_TAKES(18, MUSTER_BRACES_16 MUSTER_BRACES_2)
    MUSTER_TAKES(19, MUSTER_BRACES_16 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(20, MUSTER_BRACES_16 MUSTER_BRACES_4)
    MUSTER_TAKES(21, MUSTER_BRACES_16 MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(22, MUSTER_BRACES_16 MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(23, MUSTER_BRACES_16 MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(24, MUSTER_BRACES_16 MUSTER_BRACES_8)
    MUSTER_TAKES(25, MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_1)
    MUSTER_TAKES(26, MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_2)
    MUSTER_TAKES(27, MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(28, MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4)
    MUSTER_TAKES(29, MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(30, MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(31, MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(32, MUSTER_BRACES_32)
    MUSTER_TAKES(33, MUSTER_BRACES_32 MUSTER_BRACES_1)
    MUSTER_TAKES(34, MUSTER_BRACES_32 MUSTER_BRACES_2)
    MUSTER_TAKES(35, MUSTER_BRACES_32 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(36, MUSTER_BRACES_32 MUSTER_BRACES_4)
    MUSTER_TAKES(37, MUSTER_BRACES_32 MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(38, MUSTER_BRACES_32 MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(39, MUSTER_BRACES_32 MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(40, MUSTER_BRACES_32 MUSTER_BRACES_8)
    MUSTER_TAKES(41, MUSTER_BRACES_32 MUSTER_BRACES_8 MUSTER_BRACES_1)
    MUSTER_TAKES(42, MUSTER_BRACES_32 MUSTER_BRACES_8 MUSTER_BRACES_2)
    MUSTER_TAKES(43, MUSTER_BRACES_32 MUSTER_BRACES_8 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(44, MUSTER_BRACES_32 MUSTER_BRACES_8 MUSTER_BRACES_4)
    MUSTER_TAKES(45, MUSTER_BRACES_32 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(46, MUSTER_BRACES_32 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(47, MUSTER_BRACES_32 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(48, MUSTER_BRACES_32 MUSTER_BRACES_16)
    MUSTER_TAKES(49, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_1)
    MUSTER_TAKES(50, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_2)
    MUSTER_TAKES(51, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(52, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_4)
    MUSTER_TAKES(53, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(54, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(55, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(56, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8)
    MUSTER_TAKES(57, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_1)
    MUSTER_TAKES(58, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_2)
    MUSTER_TAKES(59, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(60, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4)
    MUSTER_TAKES(61, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_1)
    MUSTER_TAKES(62, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2)
    MUSTER_TAKES(63, MUSTER_BRACES_32 MUSTER_BRACES_16 MUSTER_BRACES_8 MUSTER_BRACES_4 MUSTER_BRACES_2 MUSTER_BRACES_1)
    MUSTER_TAKES(64, MUSTER_BRACES_64)
    MUSTER_TAKES(65, MUSTER_BRACES_64 MUSTER_BRACES_1)
}

#undef MUSTER_TAKES
#undef MUSTER_BRACES_64
#undef MUSTER_BRACES_32
#undef MUSTER_BRACES_16
#undef MUSTER_BRACES_8
#undef MUSTER_BRACES_4
#undef MUSTER_BRACES_2
#undef MUSTER_BRACES_1
// clang-format on

/// Class templates that take anything their element can be made from, and so are ambiguous with a
/// conversion to themselves.
template <typename T>
inline constexpr bool takes_its_element = false;
template <typename T>
inline constexpr bool takes_its_element<std::optional<T>> = true;
template <typename T>
inline constexpr bool takes_its_element<std::tuple<T>> = true;
template <typename T>
inline constexpr bool takes_its_element<std::variant<T>> = true;

/// Stands for a value of any type but a union. Never called.
template <std::size_t>
struct AnyField {
    template <typename T>
        requires(!takes_its_element<T> && !std::is_union_v<T>)
    operator T() const;
};

/// Stands for a value of any union. Never called.
struct AnyUnion {
    template <typename T>
        requires std::is_union_v<T>
    operator T() const;
};

/// Stands for a value of any base of `Derived`. Never called.
template <typename Derived>
struct AnyBaseOf {
    template <typename T>
        requires(std::is_base_of_v<T, Derived> && !std::is_same_v<T, Derived>)
    operator T() const;
};

/// Stands for nothing: only a constructor that takes everything takes it.
struct NoField {};

template <typename T, typename... Fields>
concept BraceConstructible = requires { T{Fields{}...}; };

template <typename T, typename Before, typename Inside, typename After>
inline constexpr bool takes_nested = false;
template <typename T, std::size_t... Before, std::size_t... Inside, std::size_t... After>
inline constexpr bool takes_nested<T, std::index_sequence<Before...>,
                                   std::index_sequence<Inside...>, std::index_sequence<After...>> =
    requires {
        T{AnyField<Before>{}..., {AnyField<Inside>{}...}, AnyField<After>{}...};
    };

template <typename T, std::size_t... Is>
constexpr bool takes_any(std::index_sequence<Is...>) {
    return BraceConstructible<T, AnyField<Is>...>;
}

enum class FieldProblem { none, base_class, union_member, too_many, not_constructible };

struct FieldCount {
    std::size_t count = 0;
    FieldProblem problem = FieldProblem::none;
    bool from_nothing = false;  ///< They may be read into a `T{}`.
};

/// The most braces that `T` takes: at least `Low`, fewer than `High`.
template <typename T, std::size_t Low, std::size_t High>
constexpr std::size_t count_braces_between() {
    if constexpr (High - Low == 1) {
        return Low;
    } else {
        constexpr std::size_t middle = Low + (High - Low) / 2;
        if constexpr (takes_braces<T, middle>()) {
            return count_braces_between<T, middle, High>();
        } else {
            return count_braces_between<T, Low, middle>();
        }
    }
}

/// Structured bindings stop the compilation at an anonymous union, so it must be found before.
template <typename T, std::size_t At>
constexpr bool is_union_at() {
    if constexpr (takes_braces<T, At, AnyUnion>()) {
        return !takes_braces<T, At, NoField>();
    } else {
        return false;
    }
}

template <typename T, std::size_t... Is>
constexpr bool any_is_union(std::index_sequence<Is...>) {
    return (is_union_at<T, Is>() || ...);
}

/// The most braces that `T` takes. Most aggregates are small: it looks there first.
template <typename T>
constexpr std::size_t count_braces() {
    if constexpr (takes_braces<T, 9>()) {
        return count_braces_between<T, 9, max_fields + 1>();
    } else {
        return count_braces_between<T, 0, 9>();
    }
}

/// The most values that `T` takes, or 0. There is a least number too, that of its last field without
/// a default.
template <typename T, std::size_t Count = 1, bool Begun = false>
constexpr std::size_t count_values() {
    if constexpr (Count > max_fields + 1) {
        return Begun ? Count - 1 : 0;
    } else if constexpr (takes_any<T>(std::make_index_sequence<Count>{})) {
        return count_values<T, Count + 1, true>();
    } else if constexpr (Begun) {
        return Count - 1;
    } else {
        return count_values<T, Count + 1, false>();
    }
}

/// Whether the field that the value `At` of `Count` lands in is an array, which takes several.
template <typename T, std::size_t Count, std::size_t At, std::size_t... Widths>
constexpr bool lands_in_array(std::index_sequence<Widths...>) {
    using Before = std::make_index_sequence<At>;
    using Rest = std::make_index_sequence<Count - At - 1>;
    if constexpr (takes_nested<T, Before, std::index_sequence<>, Rest> ||
                  takes_nested<T, Before, std::index_sequence<0>, Rest> ||
                  takes_nested<T, Before, std::index_sequence<0, 1>, Rest>) {
        return false;
    } else {
        return (takes_nested<T, Before, std::make_index_sequence<Widths + 2>,
                             std::make_index_sequence<Count - At - 2 - Widths>> ||
                ...);
    }
}

template <typename T, std::size_t First, std::size_t... Others>
constexpr bool first_is_base(std::index_sequence<First, Others...>) {
    return BraceConstructible<T, AnyBaseOf<T>, AnyField<Others>...> &&
           !BraceConstructible<T, NoField, AnyField<Others>...>;
}

template <typename T, std::size_t Count, std::size_t... Is>
constexpr bool any_is_array(std::index_sequence<Is...>) {
    return (lands_in_array<T, Count, Is>(std::make_index_sequence<Count - Is - 1>{}) || ...);
}

/// Counts the fields of an aggregate that has one without a default.
template <typename T>
constexpr FieldCount count_given_fields() {
    constexpr std::size_t count = count_values<T>();
    if constexpr (count == 0) {
        return {0, FieldProblem::not_constructible};
    } else if constexpr (count > max_fields) {
        return {0, FieldProblem::too_many};
    } else if constexpr (first_is_base<T>(std::make_index_sequence<count>{})) {
        return {0, FieldProblem::base_class};
    } else if constexpr (any_is_array<T, count>(std::make_index_sequence<count>{})) {
        return {0, FieldProblem::not_constructible};
    } else {
        return {count, FieldProblem::none};
    }
}

/// Counts the fields of an aggregate for which `T{}` is valid. A field may have a default though its
/// type has none: then no braces can be counted from there on.
template <typename T>
constexpr FieldCount count_defaulted_fields() {
    if constexpr (takes_braces<T, 0, AnyBaseOf<T>>() && !takes_braces<T, 0, NoField>()) {
        return {0, FieldProblem::base_class, true};
    } else if constexpr (takes_braces<T, max_fields + 1>()) {
        return {0, FieldProblem::too_many, true};
    } else {
        constexpr std::size_t count = count_braces<T>();
        if constexpr (any_is_union<T>(std::make_index_sequence<count>{})) {
            return {0, FieldProblem::union_member, true};
        } else if constexpr (takes_braces<T, count, AnyField<0>>() ||
                             (count == 0 && !std::is_empty_v<T>)) {
            return count_given_fields<T>();
        } else {
            return {count, FieldProblem::none, true};
        }
    }
}

template <typename T>
constexpr FieldCount count_fields() {
    if constexpr (takes_braces<T, 0>()) {
        return count_defaulted_fields<T>();
    } else {
        return count_given_fields<T>();
    }
}

/// What is known about the fields of the aggregate `T` from the outside.
template <typename T>
inline constexpr FieldCount field_count = count_fields<T>();

}  // namespace muster::detail
