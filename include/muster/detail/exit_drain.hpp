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
#include <muster/detail/threading/daemons.hpp>  // Asked after the handlers here, if it comes first.

namespace muster::detail {

/// Lets executors finish their tasks at `exit`, before the objects those tasks may use are destroyed.
///
/// Handlers of `atexit` and destructors of static objects run in the reverse order of registration
/// and construction, so a handler registered at an executor's first task runs before the destructors
/// of all objects that were alive then. A handler cannot be taken back, and there may be millions of
/// executors: those that are not static objects themselves get one each up to a number that no
/// program's long-lived ones reach, and the later ones share the last.
class ExitDrain {
  public:
    static void enlist(TaskOwner& owner, const void* executor) {
        Registry& registry = current();
        const std::lock_guard held(registry.mutex);
        if (os::in_static_storage(executor) || registry.handlers < 1000) {
            const os::NoForks during_registration;
            std::atexit(&drain);
            ++registry.handlers;
        }
        registry.owners.push_back({&owner, registry.handlers});
    }

    static void withdraw(TaskOwner& owner) noexcept {
        Registry& registry = current();
        const std::lock_guard held(registry.mutex);
        std::erase_if(registry.owners, [&](const Entry& each) { return each.owner == &owner; });
    }

  private:
    struct Entry {
        TaskOwner* owner;
        unsigned handler;  // Counted from 1.
    };

    // A forked copy of the process starts with a new one: the old one's lock may be held for ever.
    struct Registry {
        std::uint64_t generation;
        std::mutex mutex;
        std::vector<Entry> owners;
        unsigned handlers = 0;       // That have not run.
        Registry* before = nullptr;  // Of the process that this one is a copy of; kept, never used.
    };

    static Registry& current() {
        static std::atomic<Registry*> registry{nullptr};  // Never destroyed: exit comes after it.
        Registry* known = registry.load(std::memory_order_acquire);
        const std::uint64_t generation = os::fork_generation();
        while (!known || known->generation != generation) {
            auto* const made = new Registry{generation, {}, {}, 0, known};
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
            if (registry.handlers == 0) return;  // One of the process that this is a copy of.
            const unsigned own = registry.handlers--;
            // Of an executor that is gone: what the tasks of others wait for may come after this.
            if (std::none_of(registry.owners.begin(), registry.owners.end(),
                             [&](const Entry& each) { return each.handler == own; }))
                return;
            for (const Entry& each : registry.owners) {
                each.owner->retain();
                owners.push_back(each.owner);
            }
        }
        for (TaskOwner* owner : owners) {
            owner->wait_idle(std::nullopt);
            owner->release();
        }
    }
};

}  // namespace muster::detail
