// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <muster/detail/process/code_address.hpp>
#include <muster/serialization.hpp>

/// How a callable crosses to another process.
namespace muster::detail {

template <typename F>
concept FunctionPointer = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;

/// Lambdas that capture nothing, and function objects without data.
template <typename F>
concept StatelessCallable =
    std::is_class_v<F> && std::is_empty_v<F> && std::is_trivially_copyable_v<F>;

template <typename F>
concept CrossableCallable =
    FunctionPointer<F> || std::is_member_pointer_v<F> || StatelessCallable<F> || Serializable<F>;

/// Stops the compilation, with one line, for what cannot go to another process.
template <typename F>
constexpr bool check_crossable_callable() {
    static_assert(crosses<F, CrossableCallable<F>>,
                  "muster: this callable cannot go to another process: give it a function "
                  "pointer, a lambda without captures (pass what it needs as arguments), or a "
                  "function object with a serialize() member");
    return CrossableCallable<F>;
}

template <FunctionPointer F>
void encode_callable(Encoder& out, F fn, ModuleTable& modules) {
    const std::uint64_t code = modules.encode(reinterpret_cast<const void*>(fn));
    out.write(&code, sizeof code);
}
template <FunctionPointer F>
F decode_callable(Decoder& in, ModuleResolver& modules) {
    std::uint64_t code = 0;
    in.template read<F>(&code, sizeof code);
    return reinterpret_cast<F>(const_cast<void*>(modules.decode(code)));
}

/// A pointer to a member function holds a code address, unless the function is virtual: in the
/// Itanium ABI the first word is then odd (an offset into the table), on ARM the second one is.
template <typename F>
    requires std::is_member_function_pointer_v<F>
bool holds_code_address(const std::array<std::uintptr_t, 2>& words) noexcept {
#if defined(__arm__) || defined(__aarch64__)
    return (words[1] & 1) == 0;
#else
    return (words[0] & 1) == 0;
#endif
}

template <typename F>
    requires std::is_member_function_pointer_v<F>
void encode_callable(Encoder& out, F fn, ModuleTable& modules) {
    static_assert(sizeof(F) == 2 * sizeof(std::uintptr_t),
                  "muster: this compiler's pointers to member functions cannot cross: wrap the "
                  "call in a lambda without captures");
    auto words = std::bit_cast<std::array<std::uintptr_t, 2>>(fn);
    if (holds_code_address<F>(words))
        words[0] = modules.encode(reinterpret_cast<const void*>(words[0]));
    out.write(words.data(), sizeof words);
}
template <typename F>
    requires std::is_member_function_pointer_v<F>
F decode_callable(Decoder& in, ModuleResolver& modules) {
    std::array<std::uintptr_t, 2> words{};
    in.template read<F>(words.data(), sizeof words);
    // Whether it is virtual can be seen from what was sent, too: offsets keep the lowest bit.
    if (holds_code_address<F>(words))
        words[0] = reinterpret_cast<std::uintptr_t>(modules.decode(words[0]));
    return std::bit_cast<F>(words);
}

/// A pointer to a data member is an offset.
template <typename F>
    requires std::is_member_object_pointer_v<F>
void encode_callable(Encoder& out, F fn, ModuleTable&) {
    out.write(&fn, sizeof fn);
}
template <typename F>
    requires std::is_member_object_pointer_v<F>
F decode_callable(Decoder& in, ModuleResolver&) {
    F fn = nullptr;
    in.template read<F>(&fn, sizeof fn);
    return fn;
}

template <StatelessCallable F>
void encode_callable(Encoder&, const F&, ModuleTable&) {}
template <StatelessCallable F>
F decode_callable(Decoder&, ModuleResolver&) {
    return std::bit_cast<F>(std::byte{});
}

template <typename F>
    requires(!StatelessCallable<F> && Serializable<F>)
void encode_callable(Encoder& out, const F& fn, ModuleTable&) {
    detail::encode<F>(out, fn);
}
template <typename F>
    requires(!StatelessCallable<F> && Serializable<F>)
F decode_callable(Decoder& in, ModuleResolver&) {
    return detail::decode<F>(in);
}

}  // namespace muster::detail
