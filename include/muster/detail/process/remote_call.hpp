// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <muster/detail/call.hpp>
#include <muster/detail/process/callable_codec.hpp>
#include <muster/detail/process/pool_memory.hpp>
#include <muster/stop_token.hpp>

namespace muster::detail {

/// A call as the worker has it: encoded arguments in, encoded result out.
struct RemoteCall {
    Decoder& arguments;
    ModuleResolver& modules;
    StopSource* stop;  ///< For those that take a token.
    ByteBuffer& result;
    std::atomic<Stage>& stage;
};

using Thunk = void (*)(RemoteCall&);

/// Calls an `F` with `Args` in a worker. Its address is what the parent sends.
template <typename R, bool with_token, typename F, typename... Args>
void call_remotely(RemoteCall& call) {
    F fn = decode_callable<F>(call.arguments, call.modules);
    std::tuple<Args...> arguments{detail::decode<Args>(call.arguments)...};
    call.stage.store(Stage::running, std::memory_order_relaxed);
    const auto invoke = [&]() -> decltype(auto) {
        return std::apply(
            [&](Args&... values) -> decltype(auto) {
                if constexpr (with_token)
                    return std::invoke(std::move(fn), call.stop->get_token(), std::move(values)...);
                else
                    return std::invoke(std::move(fn), std::move(values)...);
            },
            arguments);
    };
    if constexpr (std::is_void_v<R>) {
        invoke();
        call.stage.store(Stage::encoding, std::memory_order_relaxed);
    } else {
        const R result = invoke();
        call.stage.store(Stage::encoding, std::memory_order_relaxed);
        Encoder out(call.result);
        detail::encode<R>(out, result);
    }
}

/// A call that was encoded in the pool's memory.
struct EncodedCall {
    Offset record = 0;
    std::size_t bytes = 0;
};

/// Stops the compilation, with one line, for what cannot go to another process.
template <typename Plan, typename F, typename... Args>
constexpr bool check_crossable() {
    static_assert(Plan::possible,
                  "muster: fn cannot be called with these arguments (decayed, passed as rvalues), "
                  "neither alone nor with a muster::StopToken before them");
    if constexpr (Plan::possible) {
        static_assert(CrossableCallable<F>,
                      "muster: this callable cannot go to another process: give it a function "
                      "pointer, a lambda without captures (pass what it needs as arguments), or a "
                      "function object with a serialize() member");
        if constexpr (CrossableCallable<F>) {
            (require_serializable<Args>(), ...);
            if constexpr (!std::is_void_v<typename Plan::Result>)
                require_serializable<typename Plan::Result>();
            return (Serializable<Args> && ...) &&
                   (std::is_void_v<typename Plan::Result> || Serializable<typename Plan::Result>);
        }
    }
    return false;
}

/// Encodes `fn(args...)` into the pool's memory.
template <typename Plan, typename F, typename... Args, typename Fn, typename... Values>
EncodedCall encode_call(PoolMemory& memory, ModuleTable& modules, Fn&& fn, Values&&... values) {
    constexpr Thunk thunk = &call_remotely<typename Plan::Result, Plan::with_token, F, Args...>;
    RecordBuffer buffer(memory);
    Encoder out(buffer);
    if constexpr (std::is_same_v<std::decay_t<Fn>, F>)
        encode_callable(out, fn, modules);
    else
        encode_callable(out, F(std::forward<Fn>(fn)), modules);
    [[maybe_unused]] const auto encode_one = [&out]<typename Arg>(std::type_identity<Arg>,
                                                                  auto&& value) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, Arg>)
            detail::encode<Arg>(out, value);  // Without a copy.
        else
            detail::encode<Arg>(out, Arg(std::forward<decltype(value)>(value)));
    };
    (encode_one(std::type_identity<Args>{}, std::forward<Values>(values)), ...);
    const std::uint64_t function = modules.encode(reinterpret_cast<const void*>(thunk));
    const auto [offset, bytes] = buffer.take();
    Record* const record = new (memory.place(offset)) Record;
    record->function = function;
    record->size = bytes - sizeof(Record);
    record->takes_stop = Plan::with_token ? 1 : 0;
    return {offset, bytes};
}

}  // namespace muster::detail
