// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

namespace muster::detail {

template <typename... Ts>
struct TypeList {
    static constexpr std::size_t size = sizeof...(Ts);
};

/// The name of `T` as this compiler writes it. For messages only.
template <typename T>
[[nodiscard]] constexpr std::string_view type_name() {
#if defined(_MSC_VER) && !defined(__clang__)
    constexpr std::string_view text = __FUNCSIG__;
    constexpr std::string_view before = "type_name<";
    constexpr std::size_t begin = text.find(before) + before.size();
    constexpr std::size_t end = text.rfind(">(");
#else
    constexpr std::string_view text = __PRETTY_FUNCTION__;
    constexpr std::string_view before = "T = ";
    constexpr std::size_t begin = text.find(before) + before.size();
    constexpr std::size_t semicolon = text.find(';', begin);  // g++ explains string_view after it.
    constexpr std::size_t end = semicolon < text.size() ? semicolon : text.rfind(']');
#endif
    return text.substr(begin, end - begin);
}
static_assert(type_name<int>() == "int");

/// Whether `T` is a class of `std::chrono`. By its name, for <chrono> is a large header.
template <typename T>
[[nodiscard]] constexpr bool is_of_chrono() {
    constexpr std::string_view name = type_name<T>();
    constexpr std::size_t begin = name.starts_with("class ") ? 6 : 0;
    constexpr std::string_view outer = name.substr(begin, name.find('<'));
    return outer.starts_with("std::") && outer.find("chrono::") != std::string_view::npos;
}

}  // namespace muster::detail
