// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <muster/detail/threading/local_values.hpp>

namespace muster::threading {

/// A value of which each thread has its own.
///
///     muster::threading::local<std::vector<int>> buffer;
///     buffer->push_back(1);  // No other thread sees that.
///
/// A thread's value is made when the thread first uses it, and destroyed when the thread ends or
/// the last copy of the local goes, whichever comes first. A copy of the local has the same values.
///
/// Thread safety: all members; what they return is the calling thread's alone.
template <typename T>
class local {
  public:
    /// Values start as `T()`.
    local()
        requires std::default_initializable<T>
        : local(std::in_place, [] { return T(); }) {}

    /// Values start as what `factory()` returns, called in each thread.
    template <typename Factory>
        requires std::is_invocable_r_v<T, const std::decay_t<Factory>&>
    explicit local(Factory&& factory) : local(std::in_place, std::forward<Factory>(factory)) {}

    /// Values start as copies of `initial`.
    template <typename Initial>
        requires(!std::same_as<std::remove_cvref_t<Initial>, local> &&
                 !std::is_invocable_r_v<T, const std::decay_t<Initial>&> &&
                 std::constructible_from<T, const std::decay_t<Initial>&>)
    explicit local(Initial&& initial)
        : local(std::in_place, [initial = std::decay_t<Initial>(std::forward<Initial>(initial))] {
              return T(initial);
          }) {}

    local(const local&) noexcept = default;  // To move it is to copy it: none is ever empty.
    local& operator=(const local&) noexcept = default;
    ~local() = default;

    /// The calling thread's value. **Throws**: what making it throws; it is made anew then.
    [[nodiscard]] T& get() const { return *static_cast<T*>(detail::LocalTable::find(values_)); }
    T& operator*() const { return get(); }
    T* operator->() const { return std::addressof(get()); }

  private:
    template <typename Factory>
    local(std::in_place_t, Factory&& factory)
        : values_{std::make_shared<detail::LocalValuesOf<T, std::decay_t<Factory>>>(
              std::forward<Factory>(factory))} {}

    std::shared_ptr<detail::LocalValues> values_;
};

}  // namespace muster::threading
