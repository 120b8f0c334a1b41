// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/decoder.hpp>
#include <muster/detail/serialization/encoder.hpp>

#include <type_traits>

namespace muster {

/// Lets muster reach the private `serialize`, `save`, `load` and default constructor of a class.
///
///     class Account {
///         friend class muster::Access;
///         template <class Archive> void serialize(Archive& ar) { ar(owner_, balance_); }
///         ...
class Access {
  public:
    // What follows is asked and called by muster alone.

    /// Makes an object that is about to be read into, where making one otherwise would cost
    /// something, as it does for locks and queues.
    struct Unread {};

    template <typename T, typename Archive>
    static constexpr bool has_serialize = requires(T& value, Archive& ar) { value.serialize(ar); };
    template <typename T, typename Archive>
    static constexpr bool has_versioned_serialize =
        requires(T& value, Archive& ar) { value.serialize(ar, 0U); };

    template <typename T, typename Archive>
    static constexpr bool has_save = requires(const T& value, Archive& ar) { value.save(ar); };
    template <typename T, typename Archive>
    static constexpr bool has_versioned_save =
        requires(const T& value, Archive& ar) { value.save(ar, 0U); };

    template <typename T, typename Archive>
    static constexpr bool has_load = requires(T& value, Archive& ar) { value.load(ar); };
    template <typename T, typename Archive>
    static constexpr bool has_versioned_load =
        requires(T& value, Archive& ar) { value.load(ar, 0U); };

    template <typename T>
    static constexpr bool is_made_unread = requires { T(Unread{}); };
    template <typename T>
    static constexpr bool is_default_constructible = is_made_unread<T> || requires { T(); };

    template <typename T, typename Archive>
    static void call_serialize(T& value, Archive& ar) {
        if constexpr (has_serialize<T, Archive>) {
            value.serialize(ar);
        } else {
            value.serialize(ar, 0U);
        }
    }

    template <typename T, typename Archive>
    static void call_save(const T& value, Archive& ar) {
        if constexpr (has_save<T, Archive>) {
            value.save(ar);
        } else {
            value.save(ar, 0U);
        }
    }

    template <typename T, typename Archive>
    static void call_load(T& value, Archive& ar) {
        if constexpr (has_load<T, Archive>) {
            value.load(ar);
        } else {
            value.load(ar, 0U);
        }
    }

    template <typename T>
    static T construct() {
        if constexpr (is_made_unread<T>) {
            return T(Unread{});
        } else {
            return T();
        }
    }
};

namespace detail {

template <typename T>
concept MemberSaveLoad = (Access::has_save<T, Encoder> || Access::has_versioned_save<T, Encoder>)&&(
    Access::has_load<T, Decoder> || Access::has_versioned_load<T, Decoder>);

template <typename T>
concept MemberSerialize =
    (Access::has_serialize<T, Encoder> && Access::has_serialize<T, Decoder>) ||
    (Access::has_versioned_serialize<T, Encoder> && Access::has_versioned_serialize<T, Decoder>);

template <typename T>
concept FreePlainSaveLoad = requires(const T& from, T& to, Encoder& out, Decoder& in) {
    save(out, from);
    load(in, to);
};

template <typename T>
concept FreeVersionedSaveLoad = requires(const T& from, T& to, Encoder& out, Decoder& in) {
    save(out, from, 0U);
    load(in, to, 0U);
};

template <typename T>
concept FreePlainSerialize = requires(T& value, Encoder& out, Decoder& in) {
    serialize(out, value);
    serialize(in, value);
};

template <typename T>
concept FreeVersionedSerialize = requires(T& value, Encoder& out, Decoder& in) {
    serialize(out, value, 0U);
    serialize(in, value, 0U);
};

template <typename T>
inline constexpr bool hooked = false;

template <typename T>
    requires(std::is_class_v<T> || std::is_union_v<T> || std::is_enum_v<T>)
inline constexpr bool hooked<T> =
    MemberSaveLoad<T> || MemberSerialize<T> || FreePlainSaveLoad<T> || FreeVersionedSaveLoad<T> ||
    FreePlainSerialize<T> || FreeVersionedSerialize<T>;

/// A type whose author says how it is written and read. That wins over every shape it may have.
///
/// `save` and `load` go before `serialize`: classes that have all three split it into the two.
template <typename T>
concept Hooked = hooked<T>;

template <Hooked T>
void call_save_hook(Encoder& out, const T& value) {
    const NestingLevel level(out.hooks);
    // Only read from: serialize() serves both directions, so it cannot be const.
    [[maybe_unused]] T& writable = const_cast<T&>(value);
    if constexpr (MemberSaveLoad<T>) {
        Access::call_save(value, out);
    } else if constexpr (FreePlainSaveLoad<T>) {
        save(out, value);
    } else if constexpr (FreeVersionedSaveLoad<T>) {
        save(out, value, 0U);
    } else if constexpr (MemberSerialize<T>) {
        Access::call_serialize(writable, out);
    } else if constexpr (FreePlainSerialize<T>) {
        serialize(out, writable);
    } else {
        serialize(out, writable, 0U);
    }
}

template <Hooked T>
void call_load_hook(Decoder& in, T& value) {
    const NestingLevel level(in.hooks);
    if constexpr (MemberSaveLoad<T>) {
        Access::call_load(value, in);
    } else if constexpr (FreePlainSaveLoad<T>) {
        load(in, value);
    } else if constexpr (FreeVersionedSaveLoad<T>) {
        load(in, value, 0U);
    } else if constexpr (MemberSerialize<T>) {
        Access::call_serialize(value, in);
    } else if constexpr (FreePlainSerialize<T>) {
        serialize(in, value);
    } else {
        serialize(in, value, 0U);
    }
}

}  // namespace detail
}  // namespace muster
