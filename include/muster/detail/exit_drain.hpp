// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/task_owner.hpp>

namespace muster::detail {

/// Lets executors finish their tasks at `exit`, before the objects those tasks may use are destroyed.
///
/// Handlers of `atexit` and destructors of static objects run in the reverse order of registration
/// and construction, so a handler registered at an executor's first task runs before the destructors
/// of all objects that were alive then. Executors that are not static objects themselves share one,
/// because a handler cannot be taken back and there may be millions of them.
class ExitDrain {
  public:
    static void enlist(TaskOwner& owner, const void* executor) {
        Registry& registry = current();
        const std::lock_guard held(registry.mutex);
        registry.owners.push_back(&owner);
        if (os::in_static_storage(executor) || !registry.has_shared_handler) {
            std::atexit(&drain);
            registry.has_shared_handler = true;
        }
    }

    static void withdraw(TaskOwner& owner) noexcept {
        Registry& registry = current();
        const std::lock_guard held(registry.mutex);
        std::erase(registry.owners, &owner);
    }

  private:
    // A forked copy of the process starts with a new one: the old one's lock may be held for ever.
    struct Registry {
        std::uint64_t generation;
        std::mutex mutex;
        std::vector<TaskOwner*> owners;
        bool has_shared_handler = false;
        Registry* before = nullptr;  // Of the process that this one is a copy of; kept, never used.
    };

    static Registry& current() {
        static std::atomic<Registry*> registry{nullptr};  // Never destroyed: exit comes after it.
        Registry* known = registry.load(std::memory_order_acquire);
        const std::uint64_t generation = os::fork_generation();
        while (!known || known->generation != generation) {
            auto* const made = new Registry{generation, {}, {}, false, known};
            if (registry.compare_exchange_strong(known, made, std::memory_order_acq_rel))
                return *made;
            delete made;
        }
        return *known;
    }

    static void drain() noexcept {
        Registry& registry = current();
        std::vector<TaskOwner*> owners;
        {
            const std::lock_guard held(registry.mutex);
            owners = registry.owners;
            for (TaskOwner* owner : owners) owner->retain();
        }
        for (TaskOwner* owner : owners) {
            owner->wait_idle(std::nullopt);
            owner->release();
        }
    }
};

}  // namespace muster::detail
