// SPDX-License-Identifier: MIT
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <typeinfo>

namespace muster::detail::posix {

/// A type's name as the compiler spells it.
/// Throws: `std::bad_alloc`.
inline std::string spelled(const std::type_info& type) {
    constexpr int out_of_memory = -1;
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
    if (status == out_of_memory) throw std::bad_alloc();
    return text ? text.get() : type.name();
}

/// The name of a type, as `current_exception_type_name()` has it; empty without run-time type
/// information. Throws: `std::bad_alloc`.
template <typename T>
std::string type_name() {
#ifdef __GXX_RTTI
    return spelled(typeid(T));
#else
    return {};
#endif
}

/// The name of the exact type of the exception that is being handled, as the compiler spells it.
/// Empty if the exception is not C++'s, or there is none.
///
/// It is what the runtime has for matching handlers: `-fno-rtti` does not take it away.
/// Throws: `std::bad_alloc`.
inline std::string current_exception_type_name() {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    return type == nullptr ? std::string() : spelled(*type);
}

}  // namespace muster::detail::posix
