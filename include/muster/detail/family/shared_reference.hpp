// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/family_memory.hpp>
#include <muster/detail/family/sweep.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// This process's hold on an object in the family's memory, which all copies of a handle share.
///
/// A copy of the process, made by `fork`, has the object in its memory but no hold on it: it gets one
/// of its own when it first uses the object.
/// Thread safety: all members.
class SharedReference {
    struct Held {
        std::uint64_t generation;  // Of which process, or copy of it, the block is.
        Block* block;
    };

  public:
    /// Makes a new object. **Throws**: `std::bad_alloc`, `std::system_error`.
    template <typename State, typename... Args>
    static std::shared_ptr<SharedReference> make(BlockKind kind, std::size_t bytes,
                                                 Args&&... args) {
        auto memory = FamilyMemory::for_objects();
        Block& object = allocate_block(*memory, bytes);
        new (&object.content<std::byte>()) State(std::forward<Args>(args)...);
        object.claim.store(sizeof(State), std::memory_order_relaxed);  // Published with the rest.
        Block& reference = publish_object(*memory, object, kind);
        return std::make_shared<SharedReference>(Token{}, std::move(memory), object, kind,
                                                 reference);
    }

    /// A hold on an object that another process knows by this name.
    /// **Throws**: `InvalidStateError` if there is none any more.
    static std::shared_ptr<SharedReference> find(const ObjectName& name, BlockKind kind) {
        auto memory = FamilyMemory::for_objects();
        Block* const reference = refer_to(*memory, name, kind);
        if (!reference) throw_gone();
        Block& object = memory->block(name.offset);
        return std::make_shared<SharedReference>(Token{}, std::move(memory), object, kind,
                                                 *reference);
    }

  private:
    struct Token {};

  public:
    SharedReference(Token, std::shared_ptr<FamilyMemory> memory, Block& object, BlockKind kind,
                    Block& reference)
        : memory_{std::move(memory)},
          object_{object},
          kind_{kind},
          name_{memory_->header().family, memory_->offset_of(object), object.identity.load()},
          held_{new Held{os::fork_generation(), &reference}} {}
    SharedReference(const SharedReference&) = delete;
    SharedReference& operator=(const SharedReference&) = delete;
    ~SharedReference() {
        const std::unique_ptr<Held> held(held_.load(std::memory_order_acquire));
        // In a copy that has not used it there is nothing to give up.
        if (held->generation != os::fork_generation()) return;
        try {
            if (memory_->dying()) bury_claim(*memory_, *held->block, false);
            release_reference(*memory_, *held->block);
        } catch (...) {  // The system refuses to lock: the block is given back with the process.
        }
    }

    [[nodiscard]] FamilyMemory& memory() const noexcept { return *memory_; }
    [[nodiscard]] const ObjectName& name() const noexcept { return name_; }
    [[nodiscard]] BlockKind kind() const noexcept { return kind_; }

    /// The object. Use it through `own()`, which makes sure that it is there.
    template <typename State>
    [[nodiscard]] State& object() const noexcept {
        return object_.content<State>();
    }
    /// How many bytes it has, without what is behind it.
    [[nodiscard]] std::size_t object_bytes() const noexcept {
        return static_cast<std::size_t>(object_.claim.load());
    }

    /// This process's reference. **Throws**: `InvalidStateError` in a copy of the process that comes
    /// too late: those that had the object have dropped it.
    [[nodiscard]] Block& own() {
        const Held* const held = held_.load(std::memory_order_acquire);
        if (held->generation == os::fork_generation()) [[likely]]
            return *held->block;
        return own_in_copy();
    }

  private:
    /// As `own`, which is called all the time, for the first time in a copy of the process.
    Block& own_in_copy() {
        Held* held = held_.load(std::memory_order_acquire);
        const std::uint64_t generation = os::fork_generation();
        while (held->generation != generation) {
            Block* const block = refer_to(*memory_, name_, kind_);
            if (!block) throw_gone();
            auto fresh = std::make_unique<Held>(Held{generation, block});
            // What was held before is the other process's; its note here is lost with this one.
            if (held_.compare_exchange_strong(held, fresh.get(), std::memory_order_acq_rel))
                held = fresh.release();
            else
                release_reference(*memory_, *block);
        }
        return *held->block;
    }

    [[noreturn]] static void throw_gone() {
        throw InvalidStateError(
            "muster: this lock, queue or other shared object is gone: no process held it any more "
            "when this one came to use it");
    }

    const std::shared_ptr<FamilyMemory> memory_;
    Block& object_;
    const BlockKind kind_;
    const ObjectName name_;
    std::atomic<Held*> held_;
};

/// Writes what names the object, which lives at least as long as the bytes.
template <typename Archive>
void save_reference(Archive& ar, const std::shared_ptr<SharedReference>& reference) {
    const ObjectName& name = reference->name();
    ar(name.family, name.offset, name.identity);
    ar.keep(reference);
}
/// A hold on the object that was written.
///
/// **Throws**: `InvalidStateError` if it is no more; `SerializationError` if it is no `State`, which
/// types of one kind tell by their size.
template <typename State, typename Archive>
std::shared_ptr<SharedReference> load_reference(Archive& ar, BlockKind kind) {
    ObjectName name;
    ar(name.family, name.offset, name.identity);
    auto found = SharedReference::find(name, kind);
    if (found->object_bytes() != sizeof(State))
        Archive::fail("a handle", "its object has " + std::to_string(found->object_bytes()) +
                                      " bytes, and one of this type " +
                                      std::to_string(sizeof(State)) +
                                      ": read it as the type that was sent");
    return found;
}

/// A handle to an object in the family's memory; copies of it are handles to the same.
template <typename State, BlockKind kind>
class SharedHandle {
  public:
    /// A new object, with `extra` bytes behind it.
    template <typename... Args>
    explicit SharedHandle(std::in_place_t, std::size_t extra, Args&&... args)
        : reference_{SharedReference::make<State>(kind, sizeof(State) + extra,
                                                  std::forward<Args>(args)...)},
          state_{&reference_->template object<State>()} {}
    SharedHandle() noexcept = default;  // Of no object; only to be read into.
    // To move it is to copy it, so that none becomes empty.
    SharedHandle(const SharedHandle&) noexcept = default;
    SharedHandle& operator=(const SharedHandle&) noexcept = default;
    ~SharedHandle() = default;

    [[nodiscard]] State& operator*() const { return *operator->(); }
    [[nodiscard]] State* operator->() const {
        (void)own();
        return state_;
    }
    [[nodiscard]] Block& own() const {
        if (!reference_) [[unlikely]]
            throw_unread();
        return reference_->own();
    }
    [[nodiscard]] FamilyMemory& memory() const noexcept { return reference_->memory(); }
    [[nodiscard]] const std::shared_ptr<SharedReference>& reference() const noexcept {
        return reference_;
    }

    template <typename Archive>
    void save(Archive& ar) const {
        (void)own();
        save_reference(ar, reference_);
    }
    template <typename Archive>
    void load(Archive& ar) {
        reference_ = load_reference<State>(ar, kind);
        state_ = &reference_->template object<State>();
    }

  private:
    [[noreturn]] static void throw_unread() {
        throw InvalidStateError("muster: this handle was never read from another process");
    }

    std::shared_ptr<SharedReference> reference_;
    State* state_ = nullptr;  // Here too: a lock waits for each load that leads to it.
};

}  // namespace muster::detail
