// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
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
/// has and a constructor from a `std::string`. The text of these two need not be serialized: it is
/// kept as it is, also where a constructor adds to it, or the type's `what()` makes another of it.
/// A type derived from the declared one is another type.
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
    std::derived_from<E, std::runtime_error>, std::runtime_error,
    std::conditional_t<std::derived_from<E, std::logic_error>, std::logic_error, void>>;

template <typename E>
concept HasTextAlone = !std::is_void_v<TextBase<E>> && sizeof(E) == sizeof(TextBase<E>) &&
                       std::constructible_from<E, const std::string&>;

/// The text that the standard class keeps, where the what() of the exception is another.
template <typename Base>
std::optional<std::string> kept_text(const Base& exception) {
    const char* const kept = exception.Base::what();
    const char* const what = exception.what();
    if (what != nullptr && std::string_view(what) == kept) return std::nullopt;
    return kept;
}

template <typename E>
bool write_declared(Encoder& out, const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const E& exception) {
        if constexpr (!std::is_void_v<TextBase<E>>)
            detail::encode(out, kept_text<TextBase<E>>(exception));
        if constexpr (Serializable<E>) detail::encode(out, exception);
        return true;
    } catch (...) {  // Another type of the same name, in an unnamed namespace of some other file.
        return false;
    }
}

template <typename E>
E rebuild(const std::string& text, Decoder& in) {
    if constexpr (Serializable<E>)
        return detail::decode<E>(in);
    else
        return E(text);
}

template <typename E>
std::exception_ptr rebuild_declared(const std::string& what, Decoder& in) {
    if constexpr (std::is_void_v<TextBase<E>>) {
        return std::make_exception_ptr(rebuild<E>(what, in));
    } else {
        const auto kept = detail::decode<std::optional<std::string>>(in);
        const std::string& text = kept ? *kept : what;
        return std::make_exception_ptr(with_text<TextBase<E>>(rebuild<E>(text, in), text));
    }
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
    return {name, &write_declared<E>, &rebuild_declared<E>};
}

}  // namespace muster::detail
