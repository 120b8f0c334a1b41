// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include <muster/detail/family/arena.hpp>
#include <muster/detail/family/named_handle.hpp>
#include <muster/detail/family/shared_reference.hpp>

/// Objects that have a name, and those that have none, behind one kind of handle.
namespace muster::detail {

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
