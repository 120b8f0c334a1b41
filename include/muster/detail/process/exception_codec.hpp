// SPDX-License-Identifier: MIT
#pragma once

#include <muster/serialization.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace muster::detail {

/// How the exceptions of one type go to another process.
///
/// The name, as a C++ programmer writes it, is that of the exact type: what is derived from it is
/// another type, and never sliced to this one.
struct ExceptionCodec {
    std::string_view name;

    /// Writes what the exception holds besides what(). False if it holds something that cannot be
    /// rebuilt; then what it wrote is dropped. Null if there is nothing to write.
    bool (*write)(Encoder& out, const std::exception_ptr& error);

    /// Makes the exception again from its what() and from what `write` wrote.
    std::exception_ptr (*rebuild)(const std::string& what, Decoder& in);
};

/// For a type that holds its what() and nothing more.
template <typename E>
constexpr ExceptionCodec text_codec(std::string_view name) {
    return {name, nullptr, [](const std::string& what, Decoder&) {
                return std::make_exception_ptr(E(what));
            }};
}

/// For a type whose what() is always the same.
template <typename E>
constexpr ExceptionCodec plain_codec(std::string_view name) {
    return {name, nullptr, [](const std::string&, Decoder&) {
                return std::make_exception_ptr(E());
            }};
}

/// Calls `write` with the exception as what it is.
template <typename E, auto write>
bool write_as(Encoder& out, const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const E& exception) {
        return write(out, exception);
    }
}

/// Gives an exception the text that another one had, where its constructor would add to the text.
template <typename Base, typename E>
E with_text(E exception, const std::string& what) {
    static_cast<Base&>(exception) = Base(what);
    return exception;
}

}  // namespace muster::detail
