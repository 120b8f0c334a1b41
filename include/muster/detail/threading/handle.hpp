// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster::detail {

template <typename T, typename... Others>
concept one_of = (std::same_as<T, Others> || ...);

/// What all copies of a handle share. To move it is to copy it, so that no handle is ever empty.
template <typename State>
class Handle {
  public:
    /// Makes the state from the arguments.
    template <typename... Args>
    explicit Handle(std::in_place_t, Args&&... args)
        : state_{std::make_shared<State>(std::forward<Args>(args)...)} {}
    Handle(const Handle&) noexcept = default;
    Handle& operator=(const Handle&) noexcept = default;
    ~Handle() = default;

    State& operator*() const noexcept { return *state_; }
    State* operator->() const noexcept { return state_.get(); }

  private:
    std::shared_ptr<State> state_;
};

/// `count`, which a user gave, as a size. `what` says who it is for.
///
/// **Throws**: `std::invalid_argument` for less than `least`.
template <std::integral Count>
std::size_t checked_size(Count count, int least, const char* what) {
    if (count < static_cast<Count>(least))
        throw std::invalid_argument(std::string("muster: ") + what + " must be at least " +
                                    std::to_string(least) + ", not " + std::to_string(count));
    return static_cast<std::size_t>(count);
}

}  // namespace muster::detail
