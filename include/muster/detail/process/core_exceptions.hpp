// SPDX-License-Identifier: MIT
#pragma once

#include <any>
#include <array>
#include <cstddef>
#include <exception>
#include <functional>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>
#include <version>
#ifdef __cpp_lib_format
#include <format>
#endif

#include <muster/detail/process/exception_code.hpp>
#include <muster/detail/process/exception_codec.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

// The exceptions that every process pool knows: those of muster, and those of the standard library
// whose headers cost nothing beside what is included anyway.

template <typename E>
bool write_code_of(Encoder& out, const E& error) {
    return write_code(out, error.code());
}

/// Makes an exception that has a code. Its constructor appends the code's message to the text, but
/// `what` has that already, perhaps in another language.
template <typename E>
std::exception_ptr make_with_code(const std::string& what, Decoder& in) {
    const std::error_code code = read_code(in);
    if constexpr (std::is_constructible_v<E, std::error_code>)
        return std::make_exception_ptr(with_text<std::runtime_error>(E(code), what));
    else
        return std::make_exception_ptr(with_text<std::runtime_error>(E(std::string(), code), what));
}

/// For `std::system_error` and what is derived from it.
template <typename E>
constexpr ExceptionCodec code_codec(std::string_view name) {
    if constexpr (std::is_base_of_v<std::system_error, E>)
        return {name, &write_as<E, &write_code_of<E>>, &make_with_code<E>};
    else
        return text_codec<E>(name);  // ios_base::failure of an old ABI has no code.
}

/// The library tells by the text what went wrong, and has no constructor for that.
inline std::exception_ptr make_bad_variant_access(const std::string& what, Decoder&) {
    struct Thrower {
        Thrower() = default;
        explicit Thrower(int) { throw 0; }
        std::string
            not_trivial;  // The library never leaves a variant of trivial types without value.
    };
    std::variant<int, Thrower> variant;
    const auto caught = [](auto&& access) {
        try {
            access();
        } catch (const std::bad_variant_access&) {
            return std::current_exception();
        }
        return std::make_exception_ptr(std::bad_variant_access());
    };
    const auto says = [&what](const std::exception_ptr& error) {
        try {
            std::rethrow_exception(error);
        } catch (const std::bad_variant_access& access) {
            return access.what() == what;
        }
    };
    const auto get = [&variant] { static_cast<void>(std::get<1>(variant)); };
    const auto visit = [&variant] { std::visit([](const auto&) {}, variant); };
    if (const auto wrong_index = caught(get); says(wrong_index)) return wrong_index;
    try {
        variant.emplace<1>(1);
    } catch (int) {  // It has no value now.
    }
    if (const auto valueless = caught(get); says(valueless)) return valueless;
    if (const auto valueless = caught(visit); says(valueless)) return valueless;
    return std::make_exception_ptr(std::bad_variant_access());
}

inline bool write_crash(Encoder& out, const WorkerCrashed& crash) {
    detail::encode(out, crash.pid());
    detail::encode(out, crash.exit_code());
    detail::encode(out, crash.signal());
    return true;
}

inline std::exception_ptr read_crash(const std::string& what, Decoder& in) {
    const int pid = detail::decode<int>(in);
    const auto exit_code = detail::decode<std::optional<int>>(in);
    const auto signal = detail::decode<std::optional<int>>(in);
    return std::make_exception_ptr(WorkerCrashed(what, pid, exit_code, signal));
}

inline bool write_remote(Encoder& out, const RemoteError& error) {
    detail::encode(out, error.type_name());
    return true;
}

inline std::exception_ptr read_remote(const std::string& what, Decoder& in) {
    return std::make_exception_ptr(RemoteError(detail::decode<std::string>(in), what));
}

inline constexpr std::array core_exceptions{
    text_codec<std::runtime_error>("std::runtime_error"),
    text_codec<std::logic_error>("std::logic_error"),
    text_codec<std::invalid_argument>("std::invalid_argument"),
    text_codec<std::out_of_range>("std::out_of_range"),
    text_codec<std::domain_error>("std::domain_error"),
    text_codec<std::length_error>("std::length_error"),
    text_codec<std::range_error>("std::range_error"),
    text_codec<std::overflow_error>("std::overflow_error"),
    text_codec<std::underflow_error>("std::underflow_error"),
    code_codec<std::system_error>("std::system_error"),
    code_codec<std::ios_base::failure>("std::ios_base::failure"),
    plain_codec<std::exception>("std::exception"),
    plain_codec<std::bad_alloc>("std::bad_alloc"),
    plain_codec<std::bad_array_new_length>("std::bad_array_new_length"),
    plain_codec<std::bad_cast>("std::bad_cast"),
    plain_codec<std::bad_typeid>("std::bad_typeid"),
    plain_codec<std::bad_exception>("std::bad_exception"),
    plain_codec<std::bad_function_call>("std::bad_function_call"),
    plain_codec<std::bad_weak_ptr>("std::bad_weak_ptr"),
    plain_codec<std::bad_optional_access>("std::bad_optional_access"),
    plain_codec<std::bad_any_cast>("std::bad_any_cast"),
    ExceptionCodec{"std::bad_variant_access", nullptr, &make_bad_variant_access},
#ifdef __cpp_lib_format
    text_codec<std::format_error>("std::format_error"),
#endif
    text_codec<Error>("muster::Error"),
    text_codec<CancelledError>("muster::CancelledError"),
    text_codec<TimeoutError>("muster::TimeoutError"),
    text_codec<InvalidStateError>("muster::InvalidStateError"),
    text_codec<BrokenPromise>("muster::BrokenPromise"),
    text_codec<ShutdownError>("muster::ShutdownError"),
    text_codec<BrokenExecutor>("muster::BrokenExecutor"),
    text_codec<BrokenThreadPool>("muster::BrokenThreadPool"),
    text_codec<BrokenProcessPool>("muster::BrokenProcessPool"),
    text_codec<EntryGuardError>("muster::EntryGuardError"),
    ExceptionCodec{"muster::WorkerCrashed", &write_as<WorkerCrashed, &write_crash>, &read_crash},
    text_codec<TaskTimeout>("muster::TaskTimeout"),
    ExceptionCodec{"muster::RemoteError", &write_as<RemoteError, &write_remote>, &read_remote},
    text_codec<SerializationError>("muster::SerializationError"),
    text_codec<QueueShutDown>("muster::QueueShutDown"),
    text_codec<BrokenBarrierError>("muster::BrokenBarrierError"),
    text_codec<AbandonedLock>("muster::AbandonedLock"),
    text_codec<EndOfFile>("muster::EndOfFile"),
};

/// The codec for exceptions of exactly this type; null if there is none.
inline const ExceptionCodec* find_exception_codec(std::string_view name) noexcept {
    for (const ExceptionCodec& codec : core_exceptions)
        if (codec.name == name) return &codec;
    return RegisteredCodec::find(name);
}

}  // namespace muster::detail
