// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <tuple>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// Whether a `T` can be copied, elements included: `std::vector<std::unique_ptr<int>>` calls itself
/// copy-constructible, but does not compile.
template <typename T>
inline constexpr bool copyable = std::is_copy_constructible_v<T>;

template <typename T>
    requires std::is_copy_constructible_v<T> && requires { typename T::value_type; } &&
                 (!std::same_as<typename T::value_type, T>)
inline constexpr bool copyable<T> = copyable<typename T::value_type>;

template <typename First, typename Second>
inline constexpr bool copyable<std::pair<First, Second>> = copyable<First> && copyable<Second>;

template <typename... Elements>
inline constexpr bool copyable<std::tuple<Elements...>> = (copyable<Elements> && ...);

}  // namespace muster::detail
