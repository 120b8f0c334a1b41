// SPDX-License-Identifier: MIT
#pragma once

#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <muster/detail/posix/memory_map.hpp>
#include <muster/detail/posix/module_id.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Which program or shared library an address belongs to. A function is the same function in another
// process of the same build when it has the same offset in the same module.

namespace muster::detail::posix {

/// The main program, or a shared library, as it lies in memory.
///
/// Requires: for id() and what else reads the image, that the module is still loaded.
struct LoadedModule {
    std::uintptr_t base = 0;   ///< Offsets count from here; the link-time addresses plus this.
    std::uintptr_t begin = 0;  ///< The first address of its segments...
    std::uintptr_t end = 0;    ///< ...and the one after the last; there may be gaps between.
    std::string path = {};     ///< Absolute; empty for the main program.
    ModuleId build_id = {};    ///< The linker's; empty if it was linked without.
    std::vector<ProgramHeader> headers = {};

    /// Which build it is.
    ///
    /// Complexity: without a build id, reads all of the code: keep the result.
    [[nodiscard]] ModuleId id() const {
        return build_id.bytes.empty() ? image_hash(base, headers) : build_id;
    }

    /// The segment that holds this address; null if none does.
    [[nodiscard]] const ProgramHeader* segment_of(std::uintptr_t address) const noexcept {
        for (const ProgramHeader& segment : headers) {
            if (segment.p_type == PT_LOAD && address - base - segment.p_vaddr < segment.p_memsz)
                return &segment;
        }
        return nullptr;
    }
};

/// A module as of the moment of asking; null if there is none.
using ModuleRef = std::shared_ptr<const LoadedModule>;

/// All modules that are loaded, the main program first, as long as nothing is loaded or unloaded.
struct ModuleList {
    std::vector<ModuleRef> modules = {};
    unsigned long long loads = 0;    ///< How many were ever loaded,
    unsigned long long unloads = 0;  ///< and unloaded, when the list was made.
};

/// Makes lists of the loaded modules.
class ModuleReader {
  public:
    /// The loaded modules now, or null if `known` still holds.
    ///
    /// Throws: `std::bad_alloc`.
    static std::shared_ptr<const ModuleList> read_unless(const ModuleList* known) {
        ModuleReader reader{known};
        if (::dl_iterate_phdr(&ModuleReader::visit, &reader) == known_holds) return nullptr;
        if (reader.error_) std::rethrow_exception(reader.error_);
        return std::make_shared<const ModuleList>(reader.finished());
    }

  private:
    static constexpr int known_holds = 1;
    static constexpr int failed = 2;

    explicit ModuleReader(const ModuleList* known) noexcept : known_{known} {}

    static int visit(::dl_phdr_info* info, std::size_t, void* self) noexcept {
        return static_cast<ModuleReader*>(self)->visit(*info);
    }

    int visit(const ::dl_phdr_info& info) noexcept {
        if (known_ != nullptr && known_->loads == info.dlpi_adds &&
            known_->unloads == info.dlpi_subs)
            return known_holds;
        known_ = nullptr;
        try {
            add(info);
            return 0;
        } catch (...) {  // Not through the C library.
            error_ = std::current_exception();
            return failed;
        }
    }

    void add(const ::dl_phdr_info& info) {
        LoadedModule module{.base = info.dlpi_addr,
                            .begin = UINTPTR_MAX,
                            .headers = {info.dlpi_phdr, info.dlpi_phdr + info.dlpi_phnum}};
        for (const ProgramHeader& segment : module.headers) {
            if (segment.p_type != PT_LOAD) continue;
            module.begin = std::min(module.begin, module.base + segment.p_vaddr);
            module.end = std::max(module.end, module.base + segment.p_vaddr + segment.p_memsz);
        }
        // The vDSO is the kernel's: nobody submits its functions, and it may differ between two
        // processes.
        if (module.end == 0 || module.begin == ::getauxval(AT_SYSINFO_EHDR)) return;
        const bool is_main = found_.empty();
        if (!is_main) module.path = info.dlpi_name;
        module.build_id = build_id_of(module.base, module.headers);
        found_.push_back(std::move(module));
        loads_ = info.dlpi_adds;
        unloads_ = info.dlpi_subs;
    }

    ModuleList finished() {
        ModuleList list{.loads = loads_, .unloads = unloads_};
        std::optional<MemoryMap> map;
        for (LoadedModule& module : found_) {
            // One that was loaded by a relative path is known by it, whatever the current folder.
            if (!module.path.empty() && module.path.front() != '/') {
                if (!map) map = MemoryMap::read();
                if (std::string path = map->file_at(module.begin); !path.empty())
                    module.path = std::move(path);
            }
            list.modules.push_back(std::make_shared<const LoadedModule>(std::move(module)));
        }
        return list;
    }

    const ModuleList* known_;
    std::vector<LoadedModule> found_;
    unsigned long long loads_ = 0;
    unsigned long long unloads_ = 0;
    std::exception_ptr error_;
};

/// Remembers the last list of modules.
///
/// Nobody waits for another thread here, nor for one that a fork left behind in its parent: who
/// finds the memory in use does without it.
class ModuleCache {
  public:
    std::shared_ptr<const ModuleList> list() {
        std::shared_ptr<const ModuleList> known;
        if (const Use use{busy_}; use) known = known_;
        if (auto changed = ModuleReader::read_unless(known.get())) {
            known = std::move(changed);
            if (const Use use{busy_}; use) known_ = known;
        }
        return known;
    }

  private:
    class Use {
      public:
        explicit Use(std::atomic_flag& busy) noexcept
            : busy_{busy}, mine_{!busy.test_and_set(std::memory_order_acquire)} {}
        Use(const Use&) = delete;
        Use& operator=(const Use&) = delete;
        ~Use() {
            if (mine_) busy_.clear(std::memory_order_release);  // Read by the next test_and_set.
        }
        explicit operator bool() const noexcept { return mine_; }

      private:
        std::atomic_flag& busy_;
        bool mine_;
    };

    std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
    std::shared_ptr<const ModuleList> known_;
};

/// All modules that are loaded now, the main program first.
inline std::shared_ptr<const ModuleList> loaded_modules() {
    // Never destroyed: workers and destructors of globals may still ask. It holds nothing but memory,
    // so that each shared library may have its own.
    static ModuleCache& cache = *new ModuleCache;
    return cache.list();
}

/// The module that holds this code or data; null for the heap, a stack, and code made at run time.
inline ModuleRef module_of(const void* address) {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    const auto list = loaded_modules();
    for (const ModuleRef& module : list->modules) {
        if (module->segment_of(at) != nullptr) return module;
    }
    return nullptr;
}

/// The loaded module that is this build, the one of this path first; null if there is none.
///
/// The path may differ: the same library is often reached by several.
inline ModuleRef find_module(std::string_view path, const ModuleId& id) {
    const auto list = loaded_modules();
    const auto file_name = [](std::string_view whole) {
        return whole.substr(whole.rfind('/') + 1);
    };
    for (const ModuleRef& module : list->modules) {
        if (module->path == path && module->id() == id) return module;
    }
    for (const ModuleRef& module : list->modules) {
        const bool same = module->build_id.bytes.empty()
                              ? file_name(module->path) == file_name(path) && module->id() == id
                              : module->build_id == id;
        if (same) return module;
    }
    return nullptr;
}

__attribute__((weakref("dlsym"), unused)) static void* weak_dlsym(void*, const char*);

/// A function of the dynamic loader; null in a program without one.
///
/// The reference is weak and only from here: a fully static program links without a loader and
/// without the linker's warning about `dlopen`, an old C library needs no -ldl, and references of
/// the application stay as they are.
template <typename Function>
Function* loader_function(const char* name) noexcept {
    void* (*const find)(void*, const char*) = weak_dlsym;
    return find == nullptr ? nullptr : reinterpret_cast<Function*>(find(RTLD_DEFAULT, name));
}

/// Loads a shared library for good, and says where it is.
///
/// The path should be absolute: a relative one depends on this process's current folder.
///
/// Throws: `std::runtime_error` that names it and says why not.
inline ModuleRef load_module(const std::string& path) {
    const std::string failure = "cannot load " + path + ": ";
    auto* const open = loader_function<void*(const char*, int)>("dlopen");
    auto* const error = loader_function<char*()>("dlerror");
    if (open == nullptr || error == nullptr)
        throw std::runtime_error(failure + "this program has no loader: it is linked statically");
    void* const handle = open(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char* const why = error();
        throw std::runtime_error(failure + (why == nullptr ? "unknown error" : why));
    }
    // In the C libraries a handle is the loader's public record of the module.
    const auto* const record = static_cast<const ::link_map*>(handle);
    const auto list = loaded_modules();
    for (const ModuleRef& module : list->modules) {
        for (const ProgramHeader& segment : module->headers) {
            if (segment.p_type == PT_DYNAMIC &&
                module->base + segment.p_vaddr == reinterpret_cast<std::uintptr_t>(record->l_ld))
                return module;
        }
    }
    throw std::runtime_error(failure + "it was loaded, but can't be found");
}

/// Is this the address of a global or static variable that can be written to?
///
/// Thread-local variables are not: they have no place of their own in the module.
inline bool in_static_storage(const void* address) {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    const ModuleRef module = module_of(address);
    return module && (module->segment_of(at)->p_flags & PF_W) != 0;
}

}  // namespace muster::detail::posix
