// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/unaligned_iterator.hpp>
#include <muster/detail/serialization/verdict.hpp>

#include <array>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>

namespace muster::detail {

/// Reads the next value into an object that exists.
template <typename T>
void decode_into(Decoder& in, T& value) {
    constexpr Shape shape = shape_of<T>;
    if constexpr (shape == Shape::hooked) {
        call_load_hook(in, value);
    } else if constexpr (is_bulk<T> && (std::is_array_v<T> || std::is_move_assignable_v<T>)) {
        in.read<T>(std::addressof(value), sizeof(T));
    } else if constexpr (shape == Shape::c_array) {
        for (auto& element : value) detail::decode_into(in, element);
    } else {
        value = detail::decode<T>(in);
    }
}

/// Reads the byte that ElementPadding added to an element without bytes.
template <typename T>
class ElementCheck {
  public:
    explicit ElementCheck(Decoder& in) noexcept : in_{in}, before_{in.remaining()} {}

    void finish() {
        if (in_.remaining() == before_ && in_.read_byte<T>() != 0) {
            Decoder::fail(type_name<T>(), "an element without bytes is not 0");
        }
    }

  private:
    Decoder& in_;
    std::size_t before_;
};

/// Prepares for `count` elements, or for as many of them as the input warrants.
template <typename T>
void reserve_warranted(Decoder& in, T& container, std::size_t count) {
    if constexpr (requires { container.reserve(count); }) {
        container.reserve(in.warrant(count, sizeof(typename T::value_type)));
    }
}

/// Strings assign from an iterator by way of another string.
template <typename T>
inline constexpr bool is_string = requires { typename T::traits_type; };

template <typename T, typename Iterator>
inline constexpr bool assigns_from =
    requires(T& container, Iterator begin) { container.assign(begin, begin); };

template <typename T>
T decode_bulk_sequence(Decoder& in) {
    using Value = typename T::value_type;
    const std::size_t count = in.read_count<T>(sizeof(Value));
    T container;
    if constexpr (sizeof(Value) == 1 && requires(const Value* at) { container.assign(at, at); }) {
        const auto* begin = reinterpret_cast<const Value*>(in.take<T>(count));
        container.assign(begin, begin + count);
    } else if constexpr (is_string<T> || !assigns_from<T, UnalignedIterator<Value>>) {
        container.resize(count);
        in.read<T>(container.data(), count * sizeof(Value));
    } else {
        // Unlike resize(), this writes each element once.
        const UnalignedIterator<Value> begin(in.take<T>(count * sizeof(Value)));
        container.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
    }
    return container;
}

template <typename T>
T decode_sequence(Decoder& in) {
    const NestingLevel level(in.containers);
    if constexpr (BulkSequence<T>) {
        return decode_bulk_sequence<T>(in);
    } else {
        using Value = typename T::value_type;
        const std::size_t count = in.read_count<T>(1);
        T container;
        reserve_warranted(in, container, count);
        for (std::size_t i = 0; i < count; ++i) {
            ElementCheck<T> check(in);
            container.push_back(detail::decode<Value>(in));
            check.finish();
        }
        return container;
    }
}

template <typename T>
T decode_associative(Decoder& in) {
    const NestingLevel level(in.containers);
    const std::size_t count = in.read_count<T>(1);
    T container;
    reserve_warranted(in, container, count);
    for (std::size_t i = 0; i < count; ++i) {
        ElementCheck<T> check(in);
        if constexpr (MapLike<T>) {
            auto key = detail::decode<typename T::key_type>(in);
            auto value = detail::decode<typename T::mapped_type>(in);
            if constexpr (requires { container.emplace_hint(container.end()); }) {
                container.emplace_hint(container.end(), std::move(key), std::move(value));
            } else {
                container.insert(typename T::value_type(std::move(key), std::move(value)));
            }
        } else {
            auto value = detail::decode<typename T::value_type>(in);
            if constexpr (requires { container.emplace_hint(container.end()); }) {
                container.emplace_hint(container.end(), std::move(value));
            } else {
                container.insert(std::move(value));
            }
        }
        check.finish();
    }
    return container;
}

template <typename T>
T decode_forward_list(Decoder& in) {
    const NestingLevel level(in.containers);
    const std::size_t count = in.read_count<T>(1);
    T container;
    auto last = container.before_begin();
    for (std::size_t i = 0; i < count; ++i) {
        ElementCheck<T> check(in);
        last = container.insert_after(last, detail::decode<typename T::value_type>(in));
        check.finish();
    }
    return container;
}

template <typename T>
T decode_pointer(Decoder& in) {
    using Value = std::remove_const_t<typename Pointee<T>::type>;
    const NestingLevel level(in.containers);
    if (!in.read_flag<T>()) return T();
    return T(new Value(detail::decode<Value>(in)));
}

template <typename T, std::size_t I>
T decode_alternative(Decoder& in) {
    using Alternative = std::remove_const_t<std::variant_alternative_t<I, T>>;
    return T(std::in_place_index<I>, detail::decode<Alternative>(in));
}

template <typename T>
T decode_variant(Decoder& in) {
    constexpr auto decoders = []<std::size_t... Is>(std::index_sequence<Is...>) {
        return std::array<T (*)(Decoder&), sizeof...(Is)>{&decode_alternative<T, Is>...};
    }(std::make_index_sequence<std::variant_size_v<T>>{});
    const std::uint64_t index = in.read_size<T>();
    if (index >= decoders.size()) Decoder::fail(type_name<T>(), "there is no such alternative");
    return decoders[static_cast<std::size_t>(index)](in);
}

template <typename T>
T decode_bitset(Decoder& in) {
    T bits;
    for (std::size_t begin = 0; begin < bits.size(); begin += 8) {
        const unsigned byte = in.read_byte<T>();
        for (std::size_t i = begin; i < begin + 8; ++i) {
            if ((byte >> (i - begin) & 1U) == 0) continue;
            if (i >= bits.size()) Decoder::fail(type_name<T>(), "a bit past the end is set");
            bits.set(i);
        }
    }
    return bits;
}

template <typename T>
T decode_array(Decoder& in) {
    using Value = typename T::value_type;
    if constexpr (std::is_default_constructible_v<T> && std::is_move_assignable_v<Value>) {
        T values{};
        for (Value& value : values) detail::decode_into(in, value);
        return values;
    } else {
        return [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            return T{{((void)Is, detail::decode<std::remove_const_t<Value>>(in))...}};
        }(std::make_index_sequence<std::tuple_size_v<T>>{});
    }
}

template <typename T, typename... Ts>
T decode_fields([[maybe_unused]] Decoder& in, TypeList<Ts...>) {
    return T{detail::decode<std::remove_const_t<Ts>>(in)...};  // Braces: from left to right.
}

template <typename T>
T decode_aggregate([[maybe_unused]] Decoder& in) {
    if constexpr (std::is_same_v<T, std::monostate>) {
        return T{};
    } else if constexpr (is_filled_in_place<T>) {
        T value{};
        with_fields<field_count<T>.count>(
            value, [&in](auto&... fields) { (detail::decode_into(in, fields), ...); });
        return value;
    } else {
        return decode_fields<T>(in, Fields<T>{});
    }
}

template <typename T>
T decode_bulk(Decoder& in) {
    std::array<std::byte, sizeof(T)> bytes;
    in.read<T>(bytes.data(), bytes.size());
    return from_bytes<T>(bytes);
}

template <typename T>
T decode(Decoder& in) {
    constexpr Shape shape = shape_of<T>;
    if constexpr (shape == Shape::hooked) {
        T value = Access::construct<T>();
        call_load_hook(in, value);
        return value;
    } else if constexpr (is_bulk<T>) {
        return decode_bulk<T>(in);
    } else if constexpr (shape == Shape::scalar) {
        return static_cast<T>(in.read_flag<T>());
    } else if constexpr (shape == Shape::array) {
        return decode_array<T>(in);
    } else if constexpr (shape == Shape::tuple) {
        return decode_fields<T>(in, typename Parts<T>::type{});
    } else if constexpr (shape == Shape::optional) {
        if (!in.read_flag<T>()) return T();
        return T(std::in_place, detail::decode<std::remove_const_t<typename T::value_type>>(in));
    } else if constexpr (shape == Shape::variant) {
        return decode_variant<T>(in);
    } else if constexpr (shape == Shape::pointer) {
        return decode_pointer<T>(in);
    } else if constexpr (shape == Shape::aggregate) {
        return decode_aggregate<T>(in);
    } else if constexpr (shape == Shape::duration) {
        return T(detail::decode<typename T::rep>(in));
    } else if constexpr (shape == Shape::time_point) {
        return T(detail::decode<typename T::duration>(in));
    } else if constexpr (shape == Shape::complex) {
        const auto real = detail::decode<typename T::value_type>(in);
        return T(real, detail::decode<typename T::value_type>(in));
    } else if constexpr (shape == Shape::bitset) {
        return decode_bitset<T>(in);
    } else if constexpr (shape == Shape::path) {
        return T(detail::decode<typename T::string_type>(in));
    } else if constexpr (shape == Shape::forward_list) {
        return decode_forward_list<T>(in);
    } else if constexpr (shape == Shape::associative) {
        return decode_associative<T>(in);
    } else {
        static_assert(shape == Shape::sequence);
        return decode_sequence<T>(in);
    }
}

}  // namespace muster::detail
