// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/errors.hpp>
#include <muster/serialization.hpp>

/// A function, in bytes that mean the same function in every process of the same build: which
/// module, and where in it.
namespace muster::detail {

/// **Throws**: `InvalidStateError` for an address that is in no module: code made at run time.
inline void encode_function(Encoder& out, const void* function) {
    const os::ModuleRef module = os::module_of(function);
    if (!module)
        throw InvalidStateError(
            "muster: this function is in no program or library file, so another process cannot "
            "find it; give a compiled function");
    detail::encode<std::vector<std::byte>>(out, module->id().bytes);
    detail::encode<std::string>(out, module->path);
    detail::encode<std::uint64_t>(out, reinterpret_cast<std::uintptr_t>(function) - module->base);
}

/// Where that function is in this process. Its module is loaded if it is not.
/// **Throws**: `EntryGuardError` where there is another build of it.
inline const void* decode_function(Decoder& in) {
    const os::ModuleId id{detail::decode<std::vector<std::byte>>(in)};
    const auto path = detail::decode<std::string>(in);
    const auto offset = detail::decode<std::uint64_t>(in);
    os::ModuleRef module = os::find_module(path, id);
    if (!module && !path.empty()) module = os::load_module(path);
    if (!module || module->id() != id)
        throw EntryGuardError(
            "muster: a function that another process named is in another build of the program or "
            "library than this process has");
    return reinterpret_cast<const void*>(module->base + offset);
}

}  // namespace muster::detail
