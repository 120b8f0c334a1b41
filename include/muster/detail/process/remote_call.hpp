// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

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
    // Called, if there are such.
    void (*begin)() = nullptr;            ///< When the arguments are decoded.
    void (*failed)() noexcept = nullptr;  ///< When `fn` has thrown, and its arguments still live.
};

using Thunk = void (*)(RemoteCall&);

/// Calls `fn` with `args`, and encodes what it returns. A constructor, because those read what is
/// between their braces from left to right: as it was written.
template <typename R, bool with_token>
struct DecodedCall {
    template <typename F, typename... Args>
    DecodedCall(RemoteCall& call, F&& fn, Args&&... args) {
        call.stage.store(Stage::running, std::memory_order_relaxed);
        if (call.begin) call.begin();
        try {
            if constexpr (with_token)
                encode(call, detail::call_for<R>(std::forward<F>(fn), call.stop->get_token(),
                                                 std::forward<Args>(args)...));
            else
                encode(call, detail::call_for<R>(std::forward<F>(fn), std::forward<Args>(args)...));
        } catch (...) {
            if (call.failed) call.failed();
            throw;
        }
    }

  private:
    static void encode(RemoteCall& call, const Stored<R>& result) {
        call.stage.store(Stage::encoding, std::memory_order_relaxed);
        if constexpr (!std::is_void_v<R>) {
            Encoder out(call.result);
            detail::encode<R>(out, result);
        }
    }
};

/// Calls an `F` with `Args` in a worker. Its address is what the parent sends.
template <typename R, bool with_token, typename F, typename... Args>
void call_remotely(RemoteCall& call) {
    DecodedCall<R, with_token>{call, decode_callable<F>(call.arguments, call.modules),
                               detail::decode<Args>(call.arguments)...};
}

/// A call that was encoded in the pool's memory.
struct EncodedCall {
    Offset record = 0;
    std::size_t bytes = 0;
    std::vector<std::shared_ptr<SharedReference>> kept = {};  ///< What the arguments speak of.
};

/// Stops the compilation, with one line, for what cannot go to another process.
template <typename Plan, typename F, typename... Args>
constexpr bool check_crossable() {
    static_assert(Plan::possible,
                  "muster: fn cannot be called with these arguments (decayed, passed as rvalues), "
                  "neither alone nor with a muster::StopToken before them");
    if constexpr (Plan::possible) {
        if constexpr (check_crossable_callable<F>()) {
            (require_serializable<Args>(), ...);
            if constexpr (!std::is_void_v<typename Plan::Result>)
                require_serializable<typename Plan::Result>();
            return (Serializable<Args> && ...) &&
                   (std::is_void_v<typename Plan::Result> || Serializable<typename Plan::Result>);
        }
    }
    return false;
}

/// Completes what was encoded in `buffer` with how it is called.
inline EncodedCall finish_call(RecordBuffer& buffer, PoolMemory& memory, ModuleTable& modules,
                               Thunk thunk, bool takes_stop) {
    const std::uint64_t function = modules.encode(reinterpret_cast<const void*>(thunk));
    const auto [offset, bytes] = buffer.take();
    Record* const record = new (memory.place(offset)) Record;
    record->function = function;
    record->size = buffer.size - sizeof(Record);  // Its block has more room.
    record->takes_stop = takes_stop ? 1 : 0;
    return {offset, bytes, std::move(buffer.kept)};
}

/// Encodes a `T` made of `value`; without a copy, if it is one.
template <typename T, typename Value>
void encode_as(Encoder& out, Value&& value) {
    if constexpr (std::is_same_v<std::remove_cvref_t<Value>, T>)
        detail::encode<T>(out, value);
    else
        detail::encode<T>(out, T(std::forward<Value>(value)));
}

/// Makes what the caller gave by `std::move` moved from: what it held is the call's, and no longer
/// the caller's as well. Plain data holds nothing.
template <typename Value>
void take(Value&& value) {
    if constexpr (!std::is_reference_v<Value> && !std::is_const_v<Value> &&
                  std::is_move_constructible_v<Value> && !std::is_trivially_copyable_v<Value>)
        (void)Value(std::forward<Value>(value));
}

/// Encodes `fn(args...)` into the pool's memory.
template <typename Plan, typename F, typename... Args, typename Fn, typename... Values>
EncodedCall encode_call(PoolMemory& memory, ModuleTable& modules, Fn&& fn, Values&&... values) {
    RecordBuffer buffer(memory);
    Encoder out(buffer);
    if constexpr (std::is_same_v<std::remove_cvref_t<Fn>, F>)
        encode_callable(out, fn, modules);
    else
        encode_callable(out, F(std::forward<Fn>(fn)), modules);
    (detail::encode_as<Args>(out, std::forward<Values>(values)), ...);
    detail::take(std::forward<Fn>(fn));  // Only now: a call that cannot be encoded takes nothing.
    (detail::take(std::forward<Values>(values)), ...);
    return finish_call(buffer, memory, modules,
                       &call_remotely<typename Plan::Result, Plan::with_token, F, Args...>,
                       Plan::with_token);
}

}  // namespace muster::detail
