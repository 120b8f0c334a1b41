// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/process/exception_transport.hpp>

#include <cstddef>
#include <exception>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

namespace exceptions {

using Bytes = std::vector<std::byte>;

inline Bytes encoded(const std::exception_ptr& error) {
    muster::detail::VectorBuffer buffer;
    muster::detail::encode_exception(buffer, error);
    Bytes bytes = buffer.take();
    bytes.shrink_to_fit();  // So that a sanitizer sees who reads beyond the end.
    return bytes;
}

/// What arrives when this is thrown in a worker.
inline std::exception_ptr arrival(const std::exception_ptr& error) {
    return muster::detail::decode_exception(encoded(error));
}

/// The same, of what `thrower` throws.
template <typename Thrower>
std::exception_ptr arrival_of(Thrower thrower) {
    try {
        thrower();
    } catch (...) {
        return arrival(std::current_exception());
    }
    return nullptr;
}

/// Calls `check` with the exception. False if its type is not exactly `E`.
template <typename E, typename Check>
bool with_exactly(const std::exception_ptr& error, Check check) {
    if (!error) return false;
    try {
        std::rethrow_exception(error);
    } catch (const E& exception) {
        if (typeid(exception) != typeid(E)) return false;
        check(exception);
        return true;
    } catch (...) {
        return false;
    }
}

template <typename E>
bool is_exactly(const std::exception_ptr& error) {
    return with_exactly<E>(error, [](const E&) {});
}

/// Whether it arrives as exactly the type that it is, with the same what().
template <typename E>
bool arrives_the_same(const E& sent) {
    bool same_text = false;
    const auto compare = [&](const E& received) {
        same_text = std::string(received.what()) == sent.what();
    };
    return with_exactly<E>(arrival(std::make_exception_ptr(sent)), compare) && same_text;
}

/// What a RemoteError says: the type's name and what(). Both empty if it is something else.
struct Remote {
    std::string type_name = {};
    std::string what = {};
    bool operator==(const Remote&) const = default;
};

inline Remote remote(const std::exception_ptr& error) {
    Remote found;
    with_exactly<muster::RemoteError>(error, [&](const muster::RemoteError& received) {
        found = {received.type_name(), received.what()};
    });
    return found;
}

template <typename T>
Remote remote_of(const T& sent) {
    return remote(arrival(std::make_exception_ptr(sent)));
}

}  // namespace exceptions
