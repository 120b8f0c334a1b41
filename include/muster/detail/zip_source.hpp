// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>

namespace muster::detail {

/// Goes through several ranges side by side, an element of each at a time, until one ends.
/// Lvalue ranges are referred to, others kept.
template <typename... Ranges>
class ZipSource {
  public:
    using Element = std::tuple<std::ranges::range_value_t<Ranges>...>;

    explicit ZipSource(Ranges&&... ranges) : ranges_(std::forward<Ranges>(ranges)...) {}

    /// The next element; nothing when a range has ended.
    std::optional<Element> next() { return next(std::index_sequence_for<Ranges...>{}); }

  private:
    template <std::size_t... i>
    std::optional<Element> next(std::index_sequence<i...>) {
        if (ended_) return std::nullopt;
        const bool begun = iterators_.has_value();
        if (!begun) iterators_.emplace(std::ranges::begin(std::get<i>(ranges_))...);
        // One after the other: none is asked for more once a range before it has ended.
        ended_ = !(step<i>(begun) && ...);
        if (ended_) return std::nullopt;
        return std::optional<Element>(std::in_place, take<i>()...);
    }

    /// Goes to the range's next element; false when there is none.
    template <std::size_t i>
    bool step(bool begun) {
        auto& place = std::get<i>(*iterators_);
        if (begun) ++place;
        return place != std::ranges::end(std::get<i>(ranges_));
    }

    /// A copy of the element; what only moves leaves a range that is kept here.
    template <std::size_t i>
    decltype(auto) take() {
        using Range = std::tuple_element_t<i, std::tuple<Ranges...>>;
        using Reference = std::ranges::range_reference_t<Range>;
        auto& place = std::get<i>(*iterators_);
        if constexpr (std::is_lvalue_reference_v<Range> ||
                      std::is_constructible_v<std::ranges::range_value_t<Range>, Reference>)
            return *place;
        else
            return std::ranges::iter_move(place);
    }

    std::tuple<Ranges...> ranges_;  // References to lvalues.
    std::optional<std::tuple<std::ranges::iterator_t<Ranges>...>> iterators_;
    bool ended_ = false;
};

}  // namespace muster::detail
