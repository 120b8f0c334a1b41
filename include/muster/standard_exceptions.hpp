// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <filesystem>
#include <future>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>

#include <muster/detail/process/exception_code.hpp>
#include <muster/detail/process/exception_codec.hpp>

// With this somewhere in a program, `std::filesystem::filesystem_error`, `std::future_error` and
// `std::regex_error` arrive from a worker process with their own type instead of as `RemoteError`.
// Their headers are large, so of muster's only muster.hpp includes them.

namespace muster::detail {

inline bool write_filesystem_error(Encoder& out, const std::filesystem::filesystem_error& error) {
    if (!write_code(out, error.code())) return false;
    // The text without the paths.
    detail::encode(out, std::string(error.std::system_error::what()));
    detail::encode(out, error.path1());
    detail::encode(out, error.path2());
    return true;
}

inline std::exception_ptr make_filesystem_error(const std::string& what, Decoder& in) {
    using std::filesystem::filesystem_error;
    const std::error_code code = read_code(in);
    // The constructor appends the code's message once more: behind a zero, where what() ends.
    const std::string text = detail::decode<std::string>(in) + '\0';
    const auto first = detail::decode<std::filesystem::path>(in);
    const auto second = detail::decode<std::filesystem::path>(in);
    // It may have been made with paths that are empty: what() tells how many it names.
    if (second.empty()) {
        if (first.empty())
            if (filesystem_error error(text, code); error.what() == what)
                return std::make_exception_ptr(error);
        if (filesystem_error error(text, first, code); error.what() == what)
            return std::make_exception_ptr(error);
    }
    return std::make_exception_ptr(filesystem_error(text, first, second, code));
}

inline bool write_future_error(Encoder& out, const std::future_error& error) {
    if (error.code().category() != std::future_category()) return false;
    detail::encode(out, error.code().value());
    return true;
}

inline std::exception_ptr make_future_error(const std::string& what, Decoder& in) {
    const auto code = static_cast<std::future_errc>(detail::decode<int>(in));
    return std::make_exception_ptr(with_text<std::logic_error>(std::future_error(code), what));
}

/// The enumeration has no fixed type: every library's can hold the values below this one.
inline constexpr unsigned regex_codes = 16;

inline bool write_regex_error(Encoder& out, const std::regex_error& error) {
    const auto code = static_cast<unsigned>(error.code());
    if (code >= regex_codes) return false;
    out.write_byte(code);
    return true;
}

inline std::exception_ptr make_regex_error(const std::string& what, Decoder& in) {
    const unsigned code = in.read_byte<std::regex_error>();
    if (code >= regex_codes) Decoder::fail("std::regex_error", "there is no such code");
    return std::make_exception_ptr(with_text<std::runtime_error>(
        std::regex_error(static_cast<std::regex_constants::error_type>(code)), what));
}

inline const RegisteredCodec filesystem_error_codec{
    {"std::filesystem::filesystem_error",
     &write_as<std::filesystem::filesystem_error, &write_filesystem_error>,
     &make_filesystem_error}};
inline const RegisteredCodec future_error_codec{
    {"std::future_error", &write_as<std::future_error, &write_future_error>, &make_future_error}};
inline const RegisteredCodec regex_error_codec{
    {"std::regex_error", &write_as<std::regex_error, &write_regex_error>, &make_regex_error}};

}  // namespace muster::detail
