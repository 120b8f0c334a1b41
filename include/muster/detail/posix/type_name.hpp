// SPDX-License-Identifier: MIT
#pragma once

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <typeinfo>

namespace muster::detail::posix {

/// The name of the exact type of the exception that is being handled, as the compiler spells it.
/// Empty if the exception is not C++'s, or there is none.
///
/// It is what the runtime has for matching handlers: `-fno-rtti` does not take it away.
/// Throws: `std::bad_alloc`.
inline std::string current_exception_type_name() {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    if (type == nullptr) return {};
    constexpr int out_of_memory = -1;
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> spelled(
        abi::__cxa_demangle(type->name(), nullptr, nullptr, &status), &std::free);
    if (status == out_of_memory) throw std::bad_alloc();
    return spelled ? spelled.get() : type->name();
}

}  // namespace muster::detail::posix
