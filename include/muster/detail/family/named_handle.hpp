// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <muster/detail/family/arena_layout.hpp>
#include <muster/detail/family/family_memory.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// In front of an object in memory with a name: other programs may be other versions.
struct alignas(64) NamedHeader {
    /// Programs with another C library have the mutex elsewhere in it.
    static constexpr std::uint64_t finished = 0x6d75'7374'6e61'0000 - os::RobustList::word_distance;

    SharedWord state{0};  ///< Becomes `finished` when all else is there.
    std::uint64_t kind = 0;
    std::uint64_t bytes = 0;  ///< Of the object, without what is behind it.
};

/// A handle to an object in memory with a name; copies of it are handles to the same.
///
/// `State` says `outlasts_users()`, whether the object is to stay when nobody uses it, and
/// `held_by_process()`, whether its memory must stay mapped though the last handle goes.
template <typename State, BlockKind kind>
class NamedHandle {
  public:
    /// Opens the object; makes it, with `extra` bytes behind it, if there is none and `extra` is
    /// given.
    ///
    /// **Throws**: `InvalidStateError` if it is of another kind or version; what
    /// `os::NamedMemory` throws.
    explicit NamedHandle(const std::string& name, std::optional<std::size_t> extra)
        : memory_{new os::NamedMemory(
                      file_kind, name,
                      extra ? std::optional(before + sizeof(State) + *extra) : std::nullopt,
                      {&make, &outlasts, &announce}),
                  LetGo{}} {
        if (!is_whole(memory_->bytes()) ||
            header_in(memory_->bytes()).kind != static_cast<std::uint64_t>(kind))
            throw InvalidStateError("muster: " + memory_->path() +
                                    " is another kind of object, or was made by a program with "
                                    "another version of muster: choose another name");
    }
    // To move it is to copy it, so that none becomes empty.
    NamedHandle(const NamedHandle&) noexcept = default;
    NamedHandle& operator=(const NamedHandle&) noexcept = default;
    ~NamedHandle() = default;

    [[nodiscard]] State* operator->() const {
        if (!memory_->hold()) throw_gone();
        return &state_in(memory_->bytes());
    }
    [[nodiscard]] const std::string& name() const noexcept { return memory_->name(); }

    /// As `os::NamedMemory`: all that have such a `State`, of whichever kind.
    static void remove_unused() { os::NamedMemory::remove_unused(file_kind, &is_to_stay); }

  private:
    static constexpr const char* file_kind = kind == BlockKind::memory ? "memory" : "lock";
    static constexpr std::size_t before = sizeof(NamedHeader);

    /// Whoever of the family sees this process die is to look for names that nobody uses any more.
    static void announce() noexcept {
        try {
            if (!own_worker_page()) return;  // The first of its family: nobody sees its end.
            const auto memory = FamilyMemory::for_objects();
            memory->header().names.store(1, std::memory_order_release);
            (void)memory->slot();  // By that, its end is awaited if its parent dies first.
        } catch (...) {  // No memory, or no room: what it leaves stays until the name is opened.
        }
    }

    [[noreturn]] void throw_gone() const {
        throw InvalidStateError("muster: " + memory_->path() +
                                " is gone: no process had it any more when this copy of one "
                                "came to use it");
    }

    static NamedHeader& header_in(std::span<std::byte> bytes) noexcept {
        return *std::launder(reinterpret_cast<NamedHeader*>(bytes.data()));
    }
    static State& state_in(std::span<std::byte> bytes) noexcept {
        return *std::launder(reinterpret_cast<State*>(bytes.data() + before));
    }

    static void make(std::span<std::byte> zeros) {
        auto& header = *new (zeros.data()) NamedHeader;
        header.kind = static_cast<std::uint64_t>(kind);
        header.bytes = sizeof(State);
        if constexpr (std::constructible_from<State, std::size_t>)
            new (zeros.data() + before) State(zeros.size() - before - sizeof(State));
        else
            new (zeros.data() + before) State;
        // release: whoever is killed before it leaves what is_whole() refuses.
        header.state.store(NamedHeader::finished, std::memory_order_release);
    }
    static bool is_whole(std::span<std::byte> bytes) noexcept {
        if (bytes.size() < before + sizeof(State)) return false;
        const NamedHeader& header = header_in(bytes);
        return header.state.load(std::memory_order_acquire) == NamedHeader::finished &&
               header.bytes == sizeof(State);
    }
    static bool outlasts(std::span<std::byte> bytes) noexcept {
        return is_whole(bytes) && state_in(bytes).outlasts_users();
    }
    /// The same of any file of these names. What other versions have made is theirs to judge.
    static bool is_to_stay(std::span<std::byte> bytes) noexcept {
        if (bytes.size() < before || header_in(bytes).state.load() == 0)
            return false;  // Unfinished.
        return !is_whole(bytes) || state_in(bytes).outlasts_users();
    }

    struct LetGo {
        void operator()(os::NamedMemory* memory) const noexcept {
            std::unique_ptr<os::NamedMemory> last(memory);
            if (is_whole(last->bytes()) && state_in(last->bytes()).held_by_process())
                os::NamedMemory::keep(std::move(last));
        }
    };

    std::shared_ptr<os::NamedMemory> memory_;
};

}  // namespace muster::detail
