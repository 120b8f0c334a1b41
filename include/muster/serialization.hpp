// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/decode.hpp>
#include <muster/detail/serialization/encode.hpp>
#include <muster/detail/serialization/require.hpp>
#include <muster/errors.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

namespace muster {

/// A value that can become bytes, go to another process of the same program, and come back equal.
///
/// Without any declaration: arithmetic types, enums, strings, the standard containers and whatever
/// looks like one, `pair`, `tuple`, `optional`, `variant`, `unique_ptr` and `shared_ptr` (of a value
/// of that very type; what two pointers share becomes two values), `chrono`'s durations and time
/// points, `filesystem::path`, `bitset`, `complex`, and aggregates of at most 64 such fields.
///
/// Any other class says how, and needs a default constructor:
///
///     template <class Archive>
///     void serialize(Archive& ar) { ar(name, balance); }
///
/// This may be a member or a free function `serialize(ar, value)` beside the class, may have a last
/// parameter `unsigned version` (always 0), may write `ar & name & balance`, and may be a pair of
/// `save(ar) const` and `load(ar)`. If it is private, the class says `friend class muster::Access`.
///
/// Pointers, references and views are never Serializable: an address means nothing over there.
template <typename T>
concept Serializable = detail::VerdictOn<T>::type::accepted;

static_assert(Serializable<int> && Serializable<std::vector<std::string>>);
static_assert(Serializable<std::unique_ptr<int>> && Serializable<std::tuple<bool, double>>);
static_assert(!Serializable<int*> && !Serializable<int&> && !Serializable<void>);
static_assert(!Serializable<std::string_view> && !Serializable<std::vector<std::string_view>>);

/// Writes the value to bytes, for deserialize() in the same build of the same program.
///
/// The bytes are the processor's own: they are no format for files.
///
/// Throws: `SerializationError` when values are nested deeper than 500 levels, or a variant holds
///         no value. Otherwise what a user's hook threw.
template <typename T>
[[nodiscard]] std::vector<std::byte> serialize(const T& value) {
    detail::require_serializable<T>();
    if constexpr (Serializable<T>) {
        detail::VectorBuffer buffer;
        detail::Encoder out(buffer);
        detail::encode<T>(out, value);
        return buffer.take();
    } else {
        return {};
    }
}

/// Reads back the value that serialize() wrote.
///
/// The bytes may be anything: cut, corrupted or made to do harm. Each is read at most once, and
/// memory is taken in proportion to them, however many elements they claim.
///
/// An enum takes any value of its underlying type, whether an enumerator has it or not. Give it
/// that type (`enum Color : int`) if the bytes may be anything: to one without, the language gives
/// no value beyond its enumerators' bits, and though compilers do, `-fstrict-enums` and
/// `-fsanitize=enum` take them at the language's word.
///
/// Throws: `SerializationError` when the bytes are not exactly one `T`, or are nested deeper than
///         500 levels. Otherwise what a user's hook threw.
template <typename T>
[[nodiscard]] T deserialize(std::span<const std::byte> bytes) {
    detail::require_serializable<T>();
    if constexpr (Serializable<T>) {
        detail::Decoder in(bytes);
        T value = detail::decode<std::remove_const_t<T>>(in);
        in.expect_end<T>();
        return value;
    } else {
        throw SerializationError("muster: not serializable");  // Never compiled to the end.
    }
}

}  // namespace muster

namespace muster::detail {

template <typename... Ts>
Encoder& Encoder::operator()(const Ts&... values) {
    (require_serializable<std::remove_all_extents_t<Ts>>(), ...);
    if constexpr ((Serializable<std::remove_all_extents_t<Ts>> && ...)) {
        (detail::encode<Ts>(*this, values), ...);
    }
    return *this;
}

template <typename... Ts>
Decoder& Decoder::operator()(Ts&... values) {
    static_assert((!std::is_const_v<Ts> && ...), "muster: a const object cannot be read into");
    (require_serializable<std::remove_all_extents_t<Ts>>(), ...);
    if constexpr (((Serializable<std::remove_all_extents_t<Ts>> && !std::is_const_v<Ts>)&&...)) {
        (detail::decode_into(*this, values), ...);
    }
    return *this;
}

}  // namespace muster::detail
