// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/serialization/verdict.hpp>

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

namespace muster::detail {

/// Elements that take no byte, such as empty structs, get one: so bytes bound the number of
/// elements, and a claimed length can be checked before anything is allocated.
class ElementPadding {
  public:
    explicit ElementPadding(Encoder& out) noexcept : out_{out}, before_{out.written()} {}

    void finish() {
        if (out_.written() == before_) out_.write_byte(0);
    }

  private:
    Encoder& out_;
    std::size_t before_;
};

template <typename T>
void encode_element(Encoder& out, const T& value) {
    ElementPadding padding(out);
    detail::encode<T>(out, value);
    padding.finish();
}

template <typename T>
void encode_sequence(Encoder& out, const T& container) {
    const NestingLevel level(out.containers);
    const auto count = static_cast<std::size_t>(container.size());
    out.write_size(count);
    if constexpr (BulkSequence<T>) {
        out.write(container.data(), count * sizeof(typename T::value_type));
    } else {
        // Not `const auto&`: the elements of std::vector<bool> are made when asked for.
        for (const typename T::value_type& element : container) encode_element(out, element);
    }
}

template <typename T>
void encode_associative(Encoder& out, const T& container) {
    const NestingLevel level(out.containers);
    out.write_size(static_cast<std::size_t>(container.size()));
    for (auto&& element : container) {
        if constexpr (MapLike<T>) {
            ElementPadding padding(out);
            detail::encode<typename T::key_type>(out, element.first);
            detail::encode<typename T::mapped_type>(out, element.second);
            padding.finish();
        } else {
            encode_element<typename T::value_type>(out, element);
        }
    }
}

template <typename T>
void encode_forward_list(Encoder& out, const T& container) {
    const NestingLevel level(out.containers);
    out.write_size(static_cast<std::size_t>(std::distance(container.begin(), container.end())));
    for (const typename T::value_type& element : container) encode_element(out, element);
}

template <typename T>
void encode_pointer(Encoder& out, const T& pointer) {
    const NestingLevel level(out.containers);
    out.write_byte(pointer ? 1 : 0);
    if (pointer) detail::encode<std::remove_const_t<typename Pointee<T>::type>>(out, *pointer);
}

template <typename T>
void encode_variant(Encoder& out, const T& value) {
    if (value.valueless_by_exception()) {
        throw SerializationError("muster: cannot serialize a std::variant without a value");
    }
    out.write_size(value.index());
    [&]<std::size_t... Is>(std::index_sequence<Is...>) {
        (void)((value.index() == Is &&
                (detail::encode<std::remove_const_t<std::variant_alternative_t<Is, T>>>(
                     out, *std::get_if<Is>(&value)),
                 true)) ||
               ...);
    }(std::make_index_sequence<std::variant_size_v<T>>{});
}

template <typename T>
void encode_bitset(Encoder& out, const T& bits) {
    for (std::size_t begin = 0; begin < bits.size(); begin += 8) {
        unsigned byte = 0;
        for (std::size_t i = begin; i < bits.size() && i < begin + 8; ++i) {
            byte |= (bits.test(i) ? 1U : 0U) << (i - begin);
        }
        out.write_byte(byte);
    }
}

template <typename T>
void encode_fields(Encoder& out, const T& value) {
    const auto encode_each = [&out]<typename... Ts>(const Ts&... fields) {
        (detail::encode<Ts>(out, fields), ...);
    };
    if constexpr (!std::is_same_v<T, std::monostate>) {
        with_fields<field_count<T>.count>(value, encode_each);
    }
}

template <typename T>
void encode_tuple(Encoder& out, const T& value) {
    [&]<std::size_t... Is>(std::index_sequence<Is...>) {
        (detail::encode<std::remove_const_t<std::tuple_element_t<Is, T>>>(out, std::get<Is>(value)),
         ...);
    }(std::make_index_sequence<std::tuple_size_v<T>>{});
}

template <typename T>
void encode(Encoder& out, const T& value) {
    constexpr Shape shape = shape_of<T>;
    if constexpr (shape == Shape::hooked) {
        call_save_hook(out, value);
    } else if constexpr (is_bulk<T>) {
        out.write(std::addressof(value), sizeof(T));
    } else if constexpr (shape == Shape::scalar) {
        out.write_byte(static_cast<bool>(value) ? 1 : 0);
    } else if constexpr (shape == Shape::c_array || shape == Shape::array) {
        using Element = std::remove_cvref_t<decltype(*std::begin(value))>;
        for (const Element& element : value) detail::encode<Element>(out, element);
    } else if constexpr (shape == Shape::tuple) {
        encode_tuple(out, value);
    } else if constexpr (shape == Shape::optional) {
        out.write_byte(value ? 1 : 0);
        if (value) detail::encode<std::remove_const_t<typename T::value_type>>(out, *value);
    } else if constexpr (shape == Shape::variant) {
        encode_variant(out, value);
    } else if constexpr (shape == Shape::pointer) {
        encode_pointer(out, value);
    } else if constexpr (shape == Shape::aggregate) {
        encode_fields(out, value);
    } else if constexpr (shape == Shape::duration) {
        detail::encode<typename T::rep>(out, value.count());
    } else if constexpr (shape == Shape::time_point) {
        detail::encode<typename T::duration>(out, value.time_since_epoch());
    } else if constexpr (shape == Shape::complex) {
        detail::encode<typename T::value_type>(out, value.real());
        detail::encode<typename T::value_type>(out, value.imag());
    } else if constexpr (shape == Shape::bitset) {
        encode_bitset(out, value);
    } else if constexpr (shape == Shape::path) {
        detail::encode<typename T::string_type>(out, value.native());
    } else if constexpr (shape == Shape::forward_list) {
        encode_forward_list(out, value);
    } else if constexpr (shape == Shape::associative) {
        encode_associative(out, value);
    } else {
        static_assert(shape == Shape::sequence);
        encode_sequence(out, value);
    }
}

}  // namespace muster::detail
