// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/shapes.hpp>

#include <type_traits>

namespace muster::detail {

/// Why a type cannot become bytes and come back.
enum class Refusal {
    reference,
    raw_pointer,
    function,
    union_type,
    volatile_type,
    view,
    inherited_container,
    polymorphic_pointee,
    array_pointee,
    custom_deleter,
    base_class,
    bit_field,
    too_many_fields,
    field_not_constructible,
    no_default_constructor,
    not_movable,
    c_array,
    unknown,
};

struct Accepted {
    static constexpr bool accepted = true;
};

/// `Culprit` is the type that is wrong: it may lie deep inside the one that was asked about.
template <Refusal Why, typename Culprit>
struct Refused {
    static constexpr bool accepted = false;
};

template <typename T, typename... Visiting>
constexpr auto judge();

template <typename... Visiting>
constexpr Accepted judge_all(TypeList<>) {
    return {};
}

/// The first refusal among the types, if any.
template <typename... Visiting, typename First, typename... Others>
constexpr auto judge_all(TypeList<First, Others...>) {
    using Verdict = decltype(judge<First, Visiting...>());
    if constexpr (Verdict::accepted) {
        return judge_all<Visiting...>(TypeList<Others...>{});
    } else {
        return Verdict{};
    }
}

template <typename T>
struct Parts;
template <template <typename...> typename Template, typename... Ts>
struct Parts<Template<Ts...>> {
    using type = TypeList<Ts...>;
};

template <typename T>
struct Pointee;
template <typename T, typename Deleter>
struct Pointee<std::unique_ptr<T, Deleter>> {
    using type = T;
    static constexpr bool deletes = std::is_same_v<Deleter, std::default_delete<T>>;
};
template <typename T>
struct Pointee<std::shared_ptr<T>> {
    using type = T;
    static constexpr bool deletes = true;
};

template <typename T, typename... Visiting>
constexpr auto judge_pointer() {
    using Value = std::remove_const_t<typename Pointee<T>::type>;
    if constexpr (std::is_array_v<Value>) {
        return Refused<Refusal::array_pointee, T>{};
    } else if constexpr (!Pointee<T>::deletes) {
        return Refused<Refusal::custom_deleter, T>{};
    } else if constexpr (std::is_polymorphic_v<Value> && !std::is_final_v<Value>) {
        return Refused<Refusal::polymorphic_pointee, T>{};
    } else {
        return judge<Value, Visiting...>();
    }
}

template <typename>
inline constexpr bool contains_array = false;
template <typename... Ts>
inline constexpr bool contains_array<TypeList<Ts...>> = (std::is_array_v<Ts> || ...);

/// An aggregate with an array is made first and then filled: a C array cannot be returned.
template <typename T>
inline constexpr bool is_filled_in_place = contains_array<Fields<T>>;

template <typename T, typename... Visiting>
constexpr auto judge_aggregate() {
    constexpr FieldCount fields = field_count<T>;
    if constexpr (std::is_same_v<T, std::monostate>) {
        return Accepted{};
    } else if constexpr (fields.problem == FieldProblem::base_class) {
        return Refused<Refusal::base_class, T>{};
    } else if constexpr (fields.problem == FieldProblem::union_member) {
        return Refused<Refusal::union_type, T>{};
    } else if constexpr (fields.problem == FieldProblem::too_many) {
        return Refused<Refusal::too_many_fields, T>{};
    } else if constexpr (fields.problem == FieldProblem::not_constructible) {
        return Refused<Refusal::field_not_constructible, T>{};
    } else if constexpr (has_bit_fields<T, fields.count>) {
        return Refused<Refusal::bit_field, T>{};
    } else if constexpr (!std::is_move_constructible_v<T>) {
        return Refused<Refusal::not_movable, T>{};
    } else {
        using Verdict = decltype(judge_all<T, Visiting...>(Fields<T>{}));
        if constexpr (!Verdict::accepted) {
            return Verdict{};
        } else if constexpr (is_filled_in_place<T> &&
                             !(fields.from_nothing && std::is_move_assignable_v<T>)) {
            return Refused<Refusal::field_not_constructible, T>{};
        } else {
            return Accepted{};
        }
    }
}

template <typename T, typename... Visiting>
constexpr auto judge_container() {
    if constexpr (!std::is_default_constructible_v<T>) {
        return Refused<Refusal::no_default_constructor, T>{};
    } else if constexpr (MapLike<T>) {
        return judge_all<Visiting...>(TypeList<typename T::key_type, typename T::mapped_type>{});
    } else {
        return judge<typename T::value_type, Visiting...>();
    }
}

template <typename T>
concept ViewLike = requires(const T& view) {
    view.begin();
    view.end();
};

template <typename T>
constexpr auto judge_unknown() {
    if constexpr (std::is_reference_v<T>) {
        return Refused<Refusal::reference, T>{};
    } else if constexpr (std::is_function_v<std::remove_pointer_t<T>> ||
                         std::is_member_function_pointer_v<T>) {
        return Refused<Refusal::function, T>{};
    } else if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> ||
                         std::is_null_pointer_v<T>) {
        return Refused<Refusal::raw_pointer, T>{};
    } else if constexpr (std::is_union_v<T>) {
        return Refused<Refusal::union_type, T>{};
    } else if constexpr (InheritsContainer<T>) {
        return Refused<Refusal::inherited_container, T>{};
    } else if constexpr (ViewLike<T>) {
        return Refused<Refusal::view, T>{};
    } else {
        return Refused<Refusal::unknown, T>{};
    }
}

/// Decides whether `T` can become bytes and come back.
///
/// `Visiting` are the aggregates that contain this `T`: one of them, met again behind a container or
/// a smart pointer, is as good as its other fields are, so recursion ends there.
template <typename T, typename... Visiting>
constexpr auto judge() {
    constexpr Shape shape = shape_of<T>;
    if constexpr (std::is_volatile_v<T>) {
        return Refused<Refusal::volatile_type, T>{};
    } else if constexpr (std::is_const_v<T>) {
        return judge<std::remove_const_t<T>, Visiting...>();
    } else if constexpr ((std::is_same_v<T, Visiting> || ...)) {
        return Accepted{};
    } else if constexpr (shape == Shape::none) {
        return judge_unknown<T>();
    } else if constexpr (shape == Shape::scalar) {
        return Accepted{};
    } else if constexpr (shape == Shape::c_array) {
        return judge<std::remove_all_extents_t<T>, Visiting...>();
    } else if constexpr (shape == Shape::aggregate) {
        return judge_aggregate<T, Visiting...>();
    } else if constexpr (shape == Shape::pointer) {
        return judge_pointer<T, Visiting...>();
    } else if constexpr (!std::is_move_constructible_v<T>) {
        return Refused<Refusal::not_movable, T>{};
    } else if constexpr (shape == Shape::hooked) {
        if constexpr (Access::is_default_constructible<T>) {
            return Accepted{};
        } else {
            return Refused<Refusal::no_default_constructor, T>{};
        }
    } else if constexpr (shape == Shape::array || shape == Shape::optional) {
        return judge<typename T::value_type, Visiting...>();
    } else if constexpr (shape == Shape::tuple || shape == Shape::variant) {
        return judge_all<Visiting...>(typename Parts<T>::type{});
    } else if constexpr (shape == Shape::duration) {
        return judge<typename T::rep, Visiting...>();
    } else if constexpr (shape == Shape::time_point) {
        return judge<typename T::duration, Visiting...>();
    } else if constexpr (shape == Shape::sequence || shape == Shape::associative ||
                         shape == Shape::forward_list) {
        return judge_container<T, Visiting...>();
    } else {
        return Accepted{};
    }
}

/// Accepted, or the first thing that is wrong with `T`.
template <typename T>
struct VerdictOn {
    using type = decltype(judge<T>());
};
template <typename T>
    requires std::is_array_v<T>
struct VerdictOn<T> {
    using type = Refused<Refusal::c_array, T>;
};

}  // namespace muster::detail
