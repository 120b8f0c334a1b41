// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <muster/detail/posix/syscall.hpp>
#include <utility>

namespace muster::detail::posix {

/// Owns one file descriptor and closes it once. An empty Fd holds -1.
///
/// Descriptors are opened with `O_CLOEXEC`: a child inherits only those its spawn names.
/// Thread safety: none; one thread at a time.
class [[nodiscard("an Fd closes its descriptor at once when it is dropped")]] Fd {
  public:
    Fd() noexcept = default;
    explicit Fd(int raw) noexcept : raw_{raw} {}
    Fd(Fd&& other) noexcept : raw_{std::exchange(other.raw_, -1)} {}
    Fd& operator=(Fd other) noexcept {
        std::swap(raw_, other.raw_);
        return *this;
    }
    ~Fd() {
        if (raw_ != -1) MUSTER_SYSCALL(close)(raw_);  // An error here has no one left to hear it.
    }

    [[nodiscard]] int get() const noexcept { return raw_; }
    [[nodiscard]] explicit operator bool() const noexcept { return raw_ != -1; }

    /// Gives the descriptor away: the caller closes it.
    [[nodiscard]] int release() noexcept { return std::exchange(raw_, -1); }

  private:
    int raw_ = -1;
};

/// A second descriptor of the same open file, numbered `minimum` or higher, closed at exec.
///
/// Throws: `std::system_error`.
inline Fd duplicate_above(int raw, int minimum) {
    return Fd{
        check(MUSTER_SYSCALL(fcntl)(raw, F_DUPFD_CLOEXEC, minimum), "fcntl(F_DUPFD_CLOEXEC)")};
}

/// The same file under a number above those of standard input, output and error.
///
/// In a program that closed one of them, the next file opened gets its number, and what the program
/// prints afterwards would be written into that file. Every factory here passes its result through.
///
/// Throws: `std::system_error`.
inline Fd above_stdio(Fd fd) {
    if (!fd || fd.get() > STDERR_FILENO) return fd;
    return duplicate_above(fd.get(), STDERR_FILENO + 1);
}

}  // namespace muster::detail::posix
