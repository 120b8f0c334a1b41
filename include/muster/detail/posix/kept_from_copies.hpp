// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/syscall.hpp>

namespace muster::detail::posix {

/// The descriptors that a copy of this process, made by `fork`, must not hold open: whoever has the
/// other end would not learn of the end of this process as long as the copy lives.
///
/// In a copy they become the null device instead of being closed: their numbers stay taken, so that
/// no file of the application's gets one that an object of ours still means to close.
///
/// Each shared library may have its own copy of this, and then a handler of its own.
class KeptFromCopies {
  public:
    static void add(int fd) {
        if (fd < 0 || static_cast<std::size_t>(fd) >= most) return;
        if (!registered_.exchange(true, std::memory_order_relaxed))
            check_error(MUSTER_SYSCALL(pthread_atfork)(nullptr, nullptr, &KeptFromCopies::drop),
                        "pthread_atfork");
        word(fd).fetch_or(bit(fd), std::memory_order_relaxed);
    }
    static void remove(int fd) noexcept {
        if (fd < 0 || static_cast<std::size_t>(fd) >= most) return;
        word(fd).fetch_and(~bit(fd), std::memory_order_relaxed);
    }

  private:
    static constexpr std::size_t most = 65536;

    static std::atomic<std::uint64_t>& word(int fd) noexcept {
        return words_[static_cast<std::size_t>(fd) / 64];
    }
    static std::uint64_t bit(int fd) noexcept { return std::uint64_t{1} << (fd % 64); }

    /// Uses only what a child may call after a fork.
    static void drop() noexcept {
        int null = -1;
        for (std::size_t i = 0; i < words_.size(); ++i) {
            const std::uint64_t bits = words_[i].exchange(0, std::memory_order_relaxed);
            for (int n = 0; bits >> n != 0 && n < 64; ++n) {
                if ((bits >> n & 1) == 0) continue;
                if (null == -1) null = MUSTER_SYSCALL(open)("/dev/null", O_RDWR | O_CLOEXEC);
                const int fd = static_cast<int>(i) * 64 + n;
                if (null == -1 || MUSTER_SYSCALL(dup3)(null, fd, O_CLOEXEC) == -1)
                    MUSTER_SYSCALL(close)(fd);
            }
        }
        if (null != -1) MUSTER_SYSCALL(close)(null);
    }

    static constinit inline std::atomic<bool> registered_{false};
    static constinit inline std::array<std::atomic<std::uint64_t>, most / 64> words_{};
};

/// An `Fd` that copies of this process do not hold.
class PrivateFd {
  public:
    PrivateFd() noexcept = default;
    /// Throws: `std::system_error`.
    explicit PrivateFd(Fd fd) : fd_{std::move(fd)} { KeptFromCopies::add(fd_.get()); }
    PrivateFd(PrivateFd&&) noexcept = default;
    PrivateFd& operator=(PrivateFd other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~PrivateFd() { KeptFromCopies::remove(fd_.get()); }  // While the number is still ours.

    [[nodiscard]] int get() const noexcept { return fd_.get(); }
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

  private:
    Fd fd_;
};

}  // namespace muster::detail::posix
