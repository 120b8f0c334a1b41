// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <muster/detail/os.hpp>
#include <muster/detail/process/core_exceptions.hpp>
#include <muster/detail/process/exception_codec.hpp>
#include <muster/detail/type_spelling.hpp>

namespace muster::detail {

// An exception as bytes: whether its type can be rebuilt, the type's name, its what(), and what
// else the codec of the type writes. No bytes at all: there was an exception, and no memory to say
// which.

/// What can be said of any exception.
struct ExceptionText {
    std::string type;  ///< Two types, two names; empty if the platform does not tell.
    std::string what;
};

inline std::string what_of(const std::exception& error) {
    const char* const text = error.what();
    return text != nullptr ? text : "muster: the exception's what() returned a null pointer";
}

/// What a thrown object that is no `std::exception` looks like.
///
/// Requires: to be called where it is handled.
inline std::string what_of_other(const std::string& type) {
    const auto valued = [&type](const std::string& value) {
        return "muster: the task threw " + (type.empty() ? "" : type + " ") + value;
    };
    try {
        throw;
    } catch (const std::string& text) {
        return text;
    } catch (const char* text) {
        return text != nullptr ? text : "muster: the task threw a null pointer";
    } catch (const std::error_code& code) {
        return valued(code.category().name() + (" " + std::to_string(code.value())) + ": " +
                      code.message());
    } catch (bool value) {
        return valued(value ? "true" : "false");
    } catch (char value) {
        return valued(std::string("'") + value + "'");
    } catch (int value) {
        return valued(std::to_string(value));
    } catch (unsigned value) {
        return valued(std::to_string(value));
    } catch (long value) {
        return valued(std::to_string(value));
    } catch (unsigned long value) {
        return valued(std::to_string(value));
    } catch (long long value) {
        return valued(std::to_string(value));
    } catch (unsigned long long value) {
        return valued(std::to_string(value));
    } catch (double value) {
        return valued(std::to_string(value));
    } catch (...) {
        return "muster: the task threw " +
               (type.empty() ? "an object" : "a " + spelled_by_programmers(type)) +
               ", which is not a std::exception";
    }
}

inline ExceptionText text_of(const std::exception_ptr& error) {
    ExceptionText text;
    if (!error) {
        text.what = "muster: there was no exception";
        return text;
    }
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& exception) {
        text.type = without_abi(os::current_exception_type_name());
        text.what = what_of(exception);
    } catch (...) {
        text.type = without_abi(os::current_exception_type_name());
        text.what = what_of_other(text.type);
    }
    // libstdc++ itself throws a class of its own that is derived from this one.
    if (text.type == "std::__ios_failure") text.type = "std::ios_base::failure";
    return text;
}

/// Throws: `std::bad_alloc`, and what the buffer throws when it cannot grow.
inline void write_exception(ByteBuffer& buffer, const std::exception_ptr& error,
                            std::size_t longest_what) {
    ExceptionText text = text_of(error);
    if (text.what.size() > longest_what) text.what.resize(longest_what);
    Encoder out(buffer);
    const std::size_t begin = buffer.size;
    if (const ExceptionCodec* const codec = find_exception_codec(text.type)) {
        out.write_byte(1);
        detail::encode(out, text.type);
        detail::encode(out, text.what);
        if (codec->write == nullptr || codec->write(out, error)) return;
        buffer.size = begin;
    }
    text.type = text.type.empty() ? "unknown" : spelled_by_programmers(std::move(text.type));
    out.write_byte(0);
    detail::encode(out, text.type);
    detail::encode(out, text.what);
}

/// Appends the exception to the buffer, whatever it is.
///
/// What cannot be written whole for lack of memory is cut; in the end, nothing is appended, which
/// decode_exception() understands.
inline void encode_exception(ByteBuffer& out, const std::exception_ptr& error) noexcept {
    const std::size_t begin = out.size;
    for (const std::size_t longest_what :
         {(std::numeric_limits<std::size_t>::max)(), std::size_t{256}}) {
        try {
            return write_exception(out, error, longest_what);
        } catch (...) {
            out.size = begin;
        }
    }
}

inline std::exception_ptr read_exception(Decoder& in) {
    const bool rebuildable = in.read_flag<std::exception>();
    std::string type = detail::decode<std::string>(in);
    const std::string what = detail::decode<std::string>(in);
    const ExceptionCodec* const codec = rebuildable ? find_exception_codec(type) : nullptr;
    if (rebuildable &&
        codec == nullptr)  // The other side knew it. What it wrote is of no use here.
        return std::make_exception_ptr(RemoteError(spelled_by_programmers(std::move(type)), what));
    std::exception_ptr error = rebuildable
                                   ? codec->rebuild(what, in)
                                   : std::make_exception_ptr(RemoteError(std::move(type), what));
    in.expect_end<std::exception>();
    return error;
}

/// The exception that encode_exception() wrote: of the same type if this side knows it, else a
/// `RemoteError`. Bytes that it did not write give a `SerializationError`.
inline std::exception_ptr decode_exception(std::span<const std::byte> bytes) noexcept {
    try {
        if (bytes.empty())
            throw RemoteError("unknown",
                              "muster: the task threw an exception, and its worker had "
                              "no memory left to say which");
        Decoder in(bytes);
        return read_exception(in);
    } catch (...) {
        return std::current_exception();
    }
}

}  // namespace muster::detail
