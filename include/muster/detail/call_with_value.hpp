// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include <muster/detail/ref.hpp>
#include <muster/detail/shared_state.hpp>
#include <muster/stop_token.hpp>

namespace muster::detail {

template <typename F, typename T>
concept CallableWith =
    std::is_invocable_v<F, const T&> || std::is_invocable_v<F, StopToken, const T&>;

/// `fn(value)` of a future that has its value, which it need not copy: `T` may be movable only.
template <typename T, typename F>
struct CallWithValue {
    Ref<State<T>> done;
    F fn;

    decltype(auto) operator()()
        requires std::is_invocable_v<F, const T&>
    {
        return std::invoke(std::move(fn), std::as_const(done->value()));
    }
    decltype(auto) operator()(StopToken stop)
        requires(!std::is_invocable_v<F, const T&>)
    {
        return std::invoke(std::move(fn), std::move(stop), std::as_const(done->value()));
    }
};

}  // namespace muster::detail
