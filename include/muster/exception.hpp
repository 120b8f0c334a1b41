// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <muster/detail/os.hpp>
#include <muster/detail/process/exception_codec.hpp>
#include <muster/detail/type_spelling.hpp>
#include <muster/serialization.hpp>

/// Has exceptions of a type arrive from worker processes as what they are, not as `RemoteError`.
/// At namespace scope, in the file that submits; for a type in a header, in that header.
///
///     struct ParseError : std::runtime_error {
///         ParseError() : std::runtime_error("") {}
///         ParseError(const std::string& what, int line) : std::runtime_error(what), line{line} {}
///         template <class Archive> void serialize(Archive& ar) { ar(line); }
///         int line = 0;
///     };
///     MUSTER_EXCEPTION(ParseError)
///
/// The type is serializable, or has nothing beside what `std::runtime_error` or `std::logic_error`
/// has and a constructor from a `std::string`. The `what()` of these two need not be serialized: it
/// is kept. A type derived from the declared one is another type.
///
/// In programs built without run-time type information it changes nothing.
#define MUSTER_EXCEPTION(...)                                                           \
    [[maybe_unused]] static const ::muster::detail::RegisteredCodec MUSTER_DETAIL_JOIN( \
        muster_exception_, __LINE__)(::muster::detail::declared_codec<__VA_ARGS__>());

#define MUSTER_DETAIL_JOIN(a, b) MUSTER_DETAIL_JOIN_EXPANDED(a, b)
#define MUSTER_DETAIL_JOIN_EXPANDED(a, b) a##b

namespace muster::detail {

/// The standard class that keeps the text of an `E`; `void` if none does.
template <typename E>
using TextBase = std::conditional_t<
    std::is_base_of_v<std::runtime_error, E>, std::runtime_error,
    std::conditional_t<std::is_base_of_v<std::logic_error, E>, std::logic_error, void>>;

template <typename E>
concept HasTextAlone = !std::is_void_v<TextBase<E>> && sizeof(E) == sizeof(TextBase<E>) &&
                       std::constructible_from<E, const std::string&>;

template <typename E>
bool write_declared(Encoder& out, const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const E& exception) {
        detail::encode(out, exception);
        return true;
    } catch (...) {  // Another type of the same name, in an unnamed namespace of some other file.
        return false;
    }
}

template <typename E>
std::exception_ptr rebuild_declared(const std::string& what, Decoder& in) {
    auto exception = detail::decode<E>(in);
    if constexpr (!std::is_void_v<TextBase<E>>)
        static_cast<TextBase<E>&>(exception) = TextBase<E>(what);
    return std::make_exception_ptr(std::move(exception));
}

/// How exceptions of the declared type cross.
template <typename E>
ExceptionCodec declared_codec() {
    static_assert(
        Serializable<E> || HasTextAlone<E>,
        "muster: MUSTER_EXCEPTION needs a serializable type (give it a serialize() member "
        "and a default constructor), or one derived from std::runtime_error or "
        "std::logic_error that has no data of its own and a constructor from std::string");
    static const std::string name = without_abi(os::type_name<E>());
    if constexpr (Serializable<E>)
        return {name, &write_declared<E>, &rebuild_declared<E>};
    else
        return text_codec<E>(name);
}

}  // namespace muster::detail
