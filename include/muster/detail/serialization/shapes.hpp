// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/field_count.hpp>
#include <muster/detail/serialization/hooks.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace muster::detail {

/// How a type is written. Where several fit, the first counts.
enum class Shape {
    scalar,        ///< Arithmetic types, enums, std::byte.
    hooked,        ///< The author says how.
    c_array,       ///< T[N].
    array,         ///< std::array.
    tuple,         ///< std::pair, std::tuple.
    optional,      ///< std::optional.
    variant,       ///< std::variant.
    pointer,       ///< std::unique_ptr, std::shared_ptr.
    aggregate,     ///< Field by field.
    duration,      ///< std::chrono::duration.
    time_point,    ///< std::chrono::time_point.
    calendar,      ///< std::chrono::year_month_day and its parts.
    complex,       ///< std::complex.
    bitset,        ///< std::bitset.
    path,          ///< std::filesystem::path.
    forward_list,  ///< A container that only grows behind an iterator.
    sequence,      ///< A container that grows at its end.
    associative,   ///< A container that finds the place itself.
    none,          ///< Nothing that muster knows.
};

template <typename T>
inline constexpr bool is_std_array = false;
template <typename T, std::size_t N>
inline constexpr bool is_std_array<std::array<T, N>> = true;

template <typename T>
inline constexpr bool is_tuple = false;
template <typename A, typename B>
inline constexpr bool is_tuple<std::pair<A, B>> = true;
template <typename... Ts>
inline constexpr bool is_tuple<std::tuple<Ts...>> = true;

template <typename T>
inline constexpr bool is_optional = false;
template <typename T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <typename T>
inline constexpr bool is_variant = false;
template <typename... Ts>
inline constexpr bool is_variant<std::variant<Ts...>> = true;

template <typename T>
inline constexpr bool is_smart_pointer = false;
template <typename T, typename Deleter>
inline constexpr bool is_smart_pointer<std::unique_ptr<T, Deleter>> = true;
template <typename T>
inline constexpr bool is_smart_pointer<std::shared_ptr<T>> = true;

/// Types whose tuple_size makes structured bindings mean something else than fields.
template <typename T>
concept TupleLike = requires { std::tuple_size<T>::value; };

template <typename T>
concept DurationLike = requires(const T& value) {
    typename T::period;
    { value.count() } -> std::same_as<typename T::rep>;
    T(value.count());
};

template <typename T>
concept TimePointLike = requires(const T& value) {
    typename T::clock;
    { value.time_since_epoch() } -> std::same_as<typename T::duration>;
    T(value.time_since_epoch());
};

/// The calendar's classes are a few small numbers, each of any value: ok() tells later.
template <typename T>
concept CalendarLike = std::is_trivially_copyable_v<T> && requires(const T& value) {
    { value.ok() } -> std::same_as<bool>;
} && is_of_chrono<T>();

template <typename T>
concept ComplexLike = std::is_floating_point_v<typename T::value_type> && requires(const T& value) {
    { value.real() } -> std::same_as<typename T::value_type>;
    { value.imag() } -> std::same_as<typename T::value_type>;
    T(value.real(), value.imag());
};

template <typename T>
inline constexpr bool is_bitset = false;
template <template <std::size_t> typename Bits, std::size_t N>
inline constexpr bool is_bitset<Bits<N>> = requires(Bits<N>& bits) {
    bits.set(N);
    { bits.test(N) } -> std::same_as<bool>;
    bits.to_ullong();
};

template <typename T>
concept PathLike = requires(const T& value) {
    { value.native() } -> std::same_as<const typename T::string_type&>;
    { T::preferred_separator } -> std::convertible_to<typename T::value_type>;
    T(typename T::string_type());
};

/// A class that is not an instance of a template and inherits its container: what else it holds
/// would be lost silently.
template <typename T>
inline constexpr bool is_instance = false;
template <template <typename...> typename Template, typename... Ts>
inline constexpr bool is_instance<Template<Ts...>> = true;

template <typename Class>
Class class_of(void (Class::*)());
template <typename Class>
Class class_of(void (Class::*)() noexcept);

template <typename T>
concept InheritsContainer = !is_instance<T> && requires {
    class_of(&T::clear);
    requires !std::is_same_v<decltype(class_of(&T::clear)), T>;
};

/// A range that owns its elements. Views lack `clear`, aggregates go field by field, and a class
/// that holds itself (a JSON value) would never end.
template <typename T>
concept ContainerLike = !std::is_aggregate_v<T> && !InheritsContainer<T> &&
                        !std::is_same_v<typename T::value_type, T> && requires(T& container) {
                            container.begin() != container.end();
                            *container.begin();
                            container.clear();
                        };

template <typename T>
concept SequenceLike = ContainerLike<T> && requires(T& container, typename T::value_type& value) {
    { container.size() } -> std::convertible_to<std::size_t>;
    container.push_back(std::move(value));
};

template <typename T>
concept AssociativeLike =
    ContainerLike<T> && requires(T& container, typename T::value_type& value) {
        typename T::key_type;
        { container.size() } -> std::convertible_to<std::size_t>;
        container.insert(std::move(value));
    };

template <typename T>
concept MapLike = AssociativeLike<T> && requires { typename T::mapped_type; };

template <typename T>
concept ForwardListLike =
    ContainerLike<T> && requires(T& container, typename T::value_type& value) {
        container.insert_after(container.before_begin(), std::move(value));
    };

template <typename T>
constexpr Shape find_shape() {
    if constexpr (std::is_arithmetic_v<T>) {
        return Shape::scalar;
    } else if constexpr (Hooked<T>) {
        return Shape::hooked;
    } else if constexpr (std::is_enum_v<T>) {
        return Shape::scalar;
    } else if constexpr (std::is_bounded_array_v<T>) {
        return Shape::c_array;
    } else if constexpr (!std::is_class_v<T>) {
        return Shape::none;
    } else if constexpr (is_std_array<T>) {
        return Shape::array;
    } else if constexpr (is_tuple<T>) {
        return Shape::tuple;
    } else if constexpr (is_optional<T>) {
        return Shape::optional;
    } else if constexpr (is_variant<T>) {
        return Shape::variant;
    } else if constexpr (is_smart_pointer<T>) {
        return Shape::pointer;
    } else if constexpr (TupleLike<T>) {
        return Shape::none;
    } else if constexpr (std::is_aggregate_v<T> || std::is_same_v<T, std::monostate>) {
        return Shape::aggregate;
    } else if constexpr (DurationLike<T>) {
        return Shape::duration;
    } else if constexpr (TimePointLike<T>) {
        return Shape::time_point;
    } else if constexpr (CalendarLike<T>) {
        return Shape::calendar;
    } else if constexpr (ComplexLike<T>) {
        return Shape::complex;
    } else if constexpr (is_bitset<T>) {
        return Shape::bitset;
    } else if constexpr (PathLike<T>) {
        return Shape::path;
    } else if constexpr (ForwardListLike<T>) {
        return Shape::forward_list;
    } else if constexpr (AssociativeLike<T>) {
        return Shape::associative;
    } else if constexpr (SequenceLike<T>) {
        return Shape::sequence;
    } else {
        return Shape::none;
    }
}

template <typename T>
inline constexpr Shape shape_of = find_shape<T>();

/// The types of an aggregate's fields, without their `const`.
template <typename T>
using Fields = FieldsOf<T, field_count<T>.count>;

template <typename T>
constexpr bool find_bulk();

/// A type whose bytes in memory are its bytes on the wire: runs of it are copied at once.
///
/// Not `bool`, of which only 0 and 1 may be read, and nothing with padding.
template <typename T>
inline constexpr bool is_bulk = find_bulk<std::remove_const_t<T>>();

template <typename T, typename... Ts>
constexpr bool fields_are_bulk(TypeList<Ts...>) {
    return (is_bulk<Ts> && ...) && (sizeof(Ts) + ... + 0) == sizeof(T);
}

template <typename T>
constexpr bool find_bulk() {
    constexpr Shape shape = shape_of<T>;
    if constexpr (!std::is_trivially_copyable_v<T> || std::is_volatile_v<T>) {
        return false;
    } else if constexpr (shape == Shape::scalar) {
        if constexpr (std::is_enum_v<T>) {
            return !std::is_same_v<std::underlying_type_t<T>, bool>;
        } else {
            return !std::is_same_v<T, bool>;
        }
    } else if constexpr (shape == Shape::c_array) {
        return is_bulk<std::remove_all_extents_t<T>>;
    } else if constexpr (shape == Shape::array) {
        return is_bulk<typename T::value_type> &&
               sizeof(T) == std::tuple_size_v<T> * sizeof(typename T::value_type);
    } else if constexpr (shape == Shape::duration) {
        return is_bulk<typename T::rep> && sizeof(T) == sizeof(typename T::rep);
    } else if constexpr (shape == Shape::time_point) {
        return is_bulk<typename T::duration> && sizeof(T) == sizeof(typename T::duration);
    } else if constexpr (shape == Shape::calendar) {
        return true;
    } else if constexpr (shape == Shape::complex) {
        return sizeof(T) == 2 * sizeof(typename T::value_type);
    } else if constexpr (shape == Shape::aggregate && !std::is_empty_v<T>) {
        if constexpr (field_count<T>.problem != FieldProblem::none) {
            return false;
        } else if constexpr (has_bit_fields<T, field_count<T>.count>) {
            return false;
        } else {
            return fields_are_bulk<T>(Fields<T>{});
        }
    } else {
        return false;
    }
}

/// A contiguous container of a bulk type.
template <typename T>
concept BulkSequence = SequenceLike<T> && is_bulk<typename T::value_type> &&
                       requires(T& container, std::size_t count) {
                           { container.data() } -> std::same_as<typename T::value_type*>;
                           container.resize(count);
                       };

}  // namespace muster::detail
