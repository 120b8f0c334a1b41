// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <muster/detail/family/named_object.hpp>
#include <muster/detail/family/shared_bytes.hpp>
#include <muster/detail/threading/handle.hpp>
#include <muster/errors.hpp>
#include <muster/serialization.hpp>

namespace muster::multiprocessing {

/// Bytes that processes share, without a copy; with a name, also programs that know nothing of each
/// other.
///
///     muster::multiprocessing::SharedMemory picture(width * height);
///     auto task = pool.submit([](muster::multiprocessing::SharedMemory its) {
///         std::ranges::fill(its.span(), std::byte{255});
///     }, picture);
///
///     muster::multiprocessing::SharedMemory made("weather", 4096);  // One program.
///     muster::multiprocessing::SharedMemory found("weather");       // Another one.
///
/// All bytes are zeros at first. A copy is the same memory, in other processes too.
///
/// | memory         | is freed with the last                | goes to another process               |
/// |----------------|---------------------------------------|---------------------------------------|
/// | without a name | handle of the family's processes      | and stays alive on the way            |
/// | with a name    | handle of all programs                | by its name: keep a handle here until |
/// |                |                                       | it has arrived                        |
///
/// A copy of the process, made by `fork`, shares the memory and counts among its users from its first
/// call of `data`, `size` or `span` on.
///
/// Thread safety: its own members; who may write which byte when is the user's to say, with a `Lock`,
/// say.
/// Platform: a name is a user's own, and a file `/dev/shm/muster.<user id>.memory.<name>`. If the
/// last user is killed, and is a `Process` or a worker, it is removed when the parent sees that. Else
/// it stays until a program opens the name again, and finds zeros, or some parent sees some such
/// death. Room is taken as the bytes are written to; where none is left by then, the system ends who
/// writes.
class SharedMemory {
  public:
    /// Memory without a name, of `size` bytes.
    ///
    /// **Throws**: `std::invalid_argument` for less than 1; `std::bad_alloc`; `std::system_error`.
    template <std::integral Size>
    explicit SharedMemory(Size size) : SharedMemory(Bytes{checked(size)}) {}

    /// The memory of this name, if a program has it that has made it with this very size; else it is
    /// made.
    ///
    /// **Throws**: `InvalidStateError` when it has another size. `std::invalid_argument` for a size
    /// below 1, or a name that is empty, has a '/' or zero byte, or more than 200 bytes.
    /// `std::bad_alloc`; `std::system_error`: with `ENOSPC` when `/dev/shm` has no room for it now.
    template <std::integral Size>
    SharedMemory(const std::string& name, Size size) : SharedMemory(name, Bytes{checked(size)}) {}

    /// The memory of this name, which a program that uses it has made.
    ///
    /// **Throws**: `std::system_error` with `ENOENT` when there is none. `std::invalid_argument` for
    /// a name as above.
    explicit SharedMemory(const std::string& name) : handle_{name, std::nullopt} {}

    [[nodiscard]] std::byte* data() const { return handle_->data(); }
    [[nodiscard]] std::size_t size() const { return handle_->size; }
    [[nodiscard]] std::span<std::byte> span() const { return {data(), size()}; }
    /// Empty if it has none.
    [[nodiscard]] const std::string& name() const noexcept { return handle_.name(); }

  private:
    friend class muster::Access;
    struct Bytes {
        std::size_t count;
    };
    explicit SharedMemory(Bytes bytes) : handle_{std::in_place, bytes.count, bytes.count} {}
    explicit SharedMemory(const std::string& name, Bytes bytes) : handle_{name, bytes.count} {
        if (size() != bytes.count)
            throw InvalidStateError("muster: the SharedMemory \"" + name + "\" has " +
                                    std::to_string(size()) + " bytes, not " +
                                    std::to_string(bytes.count) +
                                    ": ask for as many, or open it without a size");
    }
    explicit SharedMemory(Access::Unread) {}

    template <typename Size>
    static std::size_t checked(Size size) {
        return detail::checked_bytes(detail::checked_size(size, 1, "the size of a SharedMemory"),
                                     1);
    }

    template <typename Archive>
    void save(Archive& ar) const {
        handle_.save(ar);
    }
    template <typename Archive>
    void load(Archive& ar) {
        handle_.load(ar, std::nullopt);
    }

    detail::NameableHandle<detail::SharedBytes, detail::BlockKind::memory> handle_;
};

static_assert(Serializable<SharedMemory>);

}  // namespace muster::multiprocessing
