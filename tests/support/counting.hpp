// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <iterator>
#include <ranges>

namespace muster::test {

/// 0, 1, 2 and so on, without end unless it is given a size; it counts how many were taken.
class Counting {
  public:
    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using value_type = int;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        explicit iterator(Counting& range) : range_{&range} { ++range.pulled; }
        int operator*() const { return value_; }
        iterator& operator++() {
            ++value_;
            ++range_->pulled;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& here, std::default_sentinel_t) {
            return here.value_ == here.range_->size;
        }

      private:
        Counting* range_ = nullptr;
        int value_ = 0;
    };

    iterator begin() { return iterator(*this); }
    static std::default_sentinel_t end() { return {}; }

    int size = -1;
    int pulled = 0;
};
static_assert(std::ranges::input_range<Counting>);

}  // namespace muster::test
