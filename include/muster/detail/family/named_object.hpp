// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

/// Objects that have a name, and those that have none, behind one kind of handle.
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
                      kind == BlockKind::memory ? "memory" : "lock", name,
                      extra ? std::optional(before + sizeof(State) + *extra) : std::nullopt,
                      {&make, &outlasts}),
                  LetGo{}} {
        if (!is_whole(memory_->bytes()))
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

  private:
    static constexpr std::size_t before = sizeof(NamedHeader);

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
               header.kind == static_cast<std::uint64_t>(kind) && header.bytes == sizeof(State);
    }
    static bool outlasts(std::span<std::byte> bytes) noexcept {
        return is_whole(bytes) && state_in(bytes).outlasts_users();
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

/// A handle to an object in the family's memory, or to one with a name.
template <typename State, BlockKind kind>
class NameableHandle {
    using Nameless = SharedHandle<State, kind>;
    using Named = NamedHandle<State, kind>;

  public:
    /// As `SharedHandle`: a new object in the family's memory.
    template <typename... Args>
    explicit NameableHandle(std::in_place_t, std::size_t extra, Args&&... args)
        : handle_{std::in_place_type<Nameless>, std::in_place, extra, std::forward<Args>(args)...} {
    }
    /// As `NamedHandle`.
    explicit NameableHandle(const std::string& name, std::optional<std::size_t> extra)
        : handle_{std::in_place_type<Named>, name, extra} {}
    NameableHandle() noexcept = default;  // Of no object; only to be read into.

    [[nodiscard]] State& operator*() const { return *operator->(); }
    [[nodiscard]] State* operator->() const {
        // No std::visit: it calls through a table.
        if (const Nameless* const nameless = std::get_if<Nameless>(&handle_))
            return nameless->operator->();
        return std::get<Named>(handle_).operator->();
    }
    /// Empty if it has none.
    [[nodiscard]] const std::string& name() const noexcept {
        static const std::string none;
        const Named* const named = std::get_if<Named>(&handle_);
        return named ? named->name() : none;
    }

    template <typename Archive>
    void save(Archive& ar) const {
        ar(name());
        if (const Nameless* const nameless = std::get_if<Nameless>(&handle_)) nameless->save(ar);
    }
    /// `extra` as for a `NamedHandle`.
    template <typename Archive>
    void load(Archive& ar, std::optional<std::size_t> extra) {
        std::string name;
        ar(name);
        if (name.empty())
            handle_.template emplace<Nameless>().load(ar);
        else
            handle_ = Archive::make_valid("a handle", [&] { return Named(name, extra); });
    }

  private:
    std::variant<Nameless, Named> handle_;
};

}  // namespace muster::detail
