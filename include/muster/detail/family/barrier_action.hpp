// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <utility>

#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/function_name.hpp>
#include <muster/detail/family/queue_item.hpp>
#include <muster/detail/family/shared_barrier.hpp>
#include <muster/detail/process/callable_codec.hpp>
#include <muster/serialization.hpp>

/// The action of a barrier, as it lies in the family's memory: which function calls it, and the
/// callable for that, in a block as an item of a queue has it.
namespace muster::detail {

using ActionThunk = void (*)(Decoder&);

template <typename F>
F decode_action(Decoder& in) {
    if constexpr (FunctionPointer<F>)
        return reinterpret_cast<F>(const_cast<void*>(decode_function(in)));
    else if constexpr (StatelessCallable<F>)
        return std::bit_cast<F>(std::byte{});
    else
        return detail::decode<F>(in);
}

/// Calls an `F`. Its address is what the bytes begin with.
template <typename F>
void call_action(Decoder& in) {
    F action = decode_action<F>(in);
    in.template expect_end<F>();
    (void)action();
}

/// Gives a barrier, which nobody else knows yet, its action.
template <typename F>
void set_action(FamilyMemory& memory, SharedBarrier& barrier, const F& action) {
    ItemBuffer buffer(memory);
    Encoder out(buffer);
    encode_function(out, reinterpret_cast<const void*>(&call_action<F>));
    if constexpr (FunctionPointer<F>)
        encode_function(out, reinterpret_cast<const void*>(action));
    else if constexpr (!StatelessCallable<F>)
        detail::encode<F>(out, action);
    barrier.keep_action(memory, buffer.finish_block());
    buffer.forget();
}

/// Calls the action of a barrier, if it has one. **Throws**: what that throws.
inline void run_action(FamilyMemory& memory, const SharedBarrier& barrier) {
    const ArenaOffset place = barrier.action_block.load();
    if (place == 0) return;
    Decoder in(item_bytes(memory.block(place)));
    reinterpret_cast<ActionThunk>(const_cast<void*>(decode_function(in)))(in);
}

}  // namespace muster::detail
