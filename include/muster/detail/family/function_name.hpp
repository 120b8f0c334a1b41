// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// A function, in words that mean the same function in every process of the same build: which
/// module, and where in it. Lies in shared memory, in front of the module's id and path.
struct FunctionName {
    std::uint64_t offset = 0;
    std::uint32_t id_size = 0;
    std::uint32_t path_size = 0;

    static std::size_t bytes_for(const os::LoadedModule& module) {
        return sizeof(FunctionName) + module.id().bytes.size() + module.path.size();
    }

    /// Writes the name of a function of `module` to `place`.
    static void write(std::byte* place, const os::LoadedModule& module, const void* function) {
        const os::ModuleId id = module.id();
        FunctionName name;
        name.offset = reinterpret_cast<std::uintptr_t>(function) - module.base;
        name.id_size = static_cast<std::uint32_t>(id.bytes.size());
        name.path_size = static_cast<std::uint32_t>(module.path.size());
        std::memcpy(place, &name, sizeof name);
        std::memcpy(place + sizeof name, id.bytes.data(), name.id_size);
        std::memcpy(place + sizeof name + name.id_size, module.path.data(), name.path_size);
    }

    /// Where that function is in this process. Its module is loaded if it is not.
    /// **Throws**: `EntryGuardError` where there is another build of it.
    static const void* read(const std::byte* place) {
        FunctionName name;
        std::memcpy(&name, place, sizeof name);
        os::ModuleId id;
        id.bytes.assign(place + sizeof name, place + sizeof name + name.id_size);
        const std::string path(reinterpret_cast<const char*>(place + sizeof name + name.id_size),
                               name.path_size);
        os::ModuleRef module = os::find_module(path, id);
        if (!module && !path.empty()) module = os::load_module(path);
        if (!module || module->id() != id)
            throw EntryGuardError(
                "muster: a function that another process named is in another build of the program "
                "or library than this process has");
        return reinterpret_cast<const void*>(module->base + name.offset);
    }
};

}  // namespace muster::detail
