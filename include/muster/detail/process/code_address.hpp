// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/process/pool_memory.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/errors.hpp>

/// A function's address, in eight bytes that mean the same function in another process of the same
/// build: the index of its module in the pool's table << 48 | its offset in the module.
namespace muster::detail {

inline constexpr unsigned module_shift = 48;

/// The parent's table of the modules whose functions were submitted.
///
/// Thread safety: all members.
class ModuleTable {
  public:
    explicit ModuleTable(PoolMemory& memory) noexcept : memory_{memory} {}

    /// **Throws**: `InvalidStateError` for an address that is in no module: code made at run time.
    std::uint64_t encode(const void* address) {
        const os::ModuleRef module = os::module_of(address);
        if (!module)
            throw InvalidStateError(
                "muster: this function is in no program or library file, so another process "
                "cannot find it; submit a compiled function");
        const std::uint64_t offset = reinterpret_cast<std::uintptr_t>(address) - module->base;
        return index_of(module) << module_shift | offset;
    }

  private:
    struct Known {
        os::ModuleRef module;
        os::ModuleId id;
    };

    std::uint64_t index_of(const os::ModuleRef& module) {
        const std::lock_guard held(lock_);
        for (std::size_t i = 0; i < known_.size(); ++i)
            if (known_[i].module == module) return i;
        // The list of modules was read anew, because one was loaded or unloaded: the same build at
        // the same place is the same module.
        const os::ModuleId id = module->id();
        for (std::size_t i = 0; i < known_.size(); ++i) {
            if (known_[i].id == id && known_[i].module->path == module->path) {
                known_[i].module = module;
                return i;
            }
        }
        return add({module, id});
    }

    std::uint64_t add(Known added) {
        PoolPage& page = memory_.page();
        const std::size_t index = known_.size();
        const auto& id = added.id.bytes;
        const std::string& path = added.module->path;
        if (index == most_modules || id.size() > largest_module_id)
            throw InvalidStateError("muster: functions of more than 1024 libraries were submitted");
        const Offset place = memory_.allocate(sizeof(ModuleRecord) + path.size());
        auto* const record = new (memory_.place(place)) ModuleRecord;
        record->id_size = static_cast<std::uint32_t>(id.size());
        record->path_size = static_cast<std::uint32_t>(path.size());
        std::memcpy(record->id.data(), id.data(), id.size());
        std::memcpy(record + 1, path.data(), path.size());
        page.modules[index] = place;
        known_.push_back(std::move(added));
        page.module_count.store(static_cast<std::uint32_t>(index + 1), std::memory_order_release);
        return index;
    }

    PoolMemory& memory_;
    std::mutex lock_;
    std::vector<Known> known_;
};

/// The worker's view of the same table. Modules that are not loaded are loaded.
class ModuleResolver {
  public:
    ModuleResolver() noexcept = default;
    explicit ModuleResolver(const std::byte* pool_memory) noexcept : memory_{pool_memory} {}

    /// **Throws**: `EntryGuardError` when this process has no such module, or another build of it.
    const void* decode(std::uint64_t code) {
        const std::uint64_t index = code >> module_shift;
        const std::uint64_t offset = code & ((std::uint64_t{1} << module_shift) - 1);
        if (index >= modules_.size() || !modules_[index]) {
            os::ModuleRef found = find(index);  // First: there may be no such module.
            if (index >= modules_.size()) modules_.resize(index + 1);
            modules_[index] = std::move(found);
        }
        return reinterpret_cast<const void*>(modules_[index]->base + offset);
    }

  private:
    os::ModuleRef find(std::uint64_t index) const {
        const auto& page = *reinterpret_cast<const PoolPage*>(memory_);
        if (index >= page.module_count.load(std::memory_order_acquire))
            throw EntryGuardError("muster: a task names a module that its pool does not know");
        const auto& record = *reinterpret_cast<const ModuleRecord*>(memory_ + page.modules[index]);
        os::ModuleId id;
        id.bytes.assign(record.id.begin(), record.id.begin() + record.id_size);
        const std::string path(reinterpret_cast<const char*>(&record + 1), record.path_size);
        if (os::ModuleRef found = os::find_module(path, id)) return found;
        if (path.empty())
            throw EntryGuardError(
                "muster: the task's function is in a program that is another "
                "build than this worker's");
        os::ModuleRef loaded = os::load_module(path);
        if (loaded->id() != id)
            throw EntryGuardError("muster: " + path +
                                  " is another build than the one the task was submitted from: it "
                                  "was replaced after the program had loaded it; start the program "
                                  "again");
        return loaded;
    }

    const std::byte* memory_ = nullptr;
    std::vector<os::ModuleRef> modules_;
};

}  // namespace muster::detail
