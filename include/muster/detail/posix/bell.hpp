// SPDX-License-Identifier: MIT
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/kept_from_copies.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <utility>

namespace muster::detail::posix {

/// A bell that one side rings and the other polls: its descriptor is readable from ring() to clear().
///
/// Ringing twice is ringing once. The two sides may be two processes, each with its own Bell of the
/// same descriptor.
/// Thread safety: ring(), clear() and fd() may be called from any thread.
class Bell {
  public:
    /// Makes a new bell.
    ///
    /// Throws: `std::system_error`.
    Bell()
        : fd_{above_stdio(
              Fd{check(MUSTER_SYSCALL(eventfd)(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")})} {}

    /// Takes part in a bell that was inherited.
    explicit Bell(Fd inherited) noexcept : fd_{std::move(inherited)} {}

    void ring() noexcept {
        const std::uint64_t one = 1;  // A counter that is full says EAGAIN: it rings already.
        (void)retry_interrupted([&] { return MUSTER_SYSCALL(write)(fd(), &one, sizeof one); });
    }

    void clear() noexcept {
        std::uint64_t count = 0;
        (void)retry_interrupted([&] { return MUSTER_SYSCALL(read)(fd(), &count, sizeof count); });
    }

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

  private:
    PrivateFd fd_;
};

}  // namespace muster::detail::posix
