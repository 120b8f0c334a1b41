// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/kept_from_copies.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <utility>

namespace muster::detail::posix {

/// Where other processes of the same user find a FamilyBell. All zeros: nowhere.
struct BellPlace {
    std::uint64_t process = 0;  ///< Its number, see `process_number()`.
    std::uint64_t fd = 0;       ///< There.
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
};

/// A bell whose descriptor is readable from ring() to clear(), and that processes which did not
/// inherit it can ring and clear as well.
///
/// It is a pipe, since an eventfd can't be opened through /proc.
/// Thread safety: all members.
class FamilyBell {
  public:
    /// Makes a new bell. **Throws**: `std::system_error`, also where there is no /proc.
    FamilyBell() {
        int raw[2] = {-1, -1};
        check(MUSTER_SYSCALL(pipe2)(raw, O_CLOEXEC), "pipe2");
        const Fd read_end{raw[0]};
        const Fd write_end{raw[1]};
        place_.process = fork_generation();
        place_.fd = static_cast<std::uint64_t>(read_end.get());
        // In the way that others will: where that is impossible it is known now.
        Fd both_ends{check(open_at(place_), "open of a pipe in /proc")};
        struct ::stat status {};
        check(MUSTER_SYSCALL(fstat)(both_ends.get(), &status), "fstat");
        place_.device = static_cast<std::uint64_t>(status.st_dev);
        place_.inode = static_cast<std::uint64_t>(status.st_ino);
        fd_ = PrivateFd(above_stdio(std::move(both_ends)));
        place_.fd = static_cast<std::uint64_t>(fd_.get());
    }

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] const BellPlace& place() const noexcept { return place_; }

    void ring() const noexcept { ring_at(fd()); }

    /// A way to a bell, of this process or another one.
    class Way {
      public:
        /// Leads nowhere if the bell is no more.
        /// **Throws**: `std::system_error` when it is there, and the system refuses to open it.
        explicit Way(const BellPlace& place) {
            if (place.process == fork_generation()) {
                fd_ = static_cast<int>(place.fd);
                return;
            }
            opened_ = Fd{open_at(place)};
            if (!opened_) {
                const int error = errno;  // Of a main thread that has ended it may be any.
                if (error == ENOENT || error == ENXIO) return;
                if (!life_of_process(place.process).main_thread) return;
                throw_error(error, "the bell of a connection's other end");
            }
            // Ids and descriptors are used again: by now another program's pipe may be there.
            struct ::stat status {};
            if (MUSTER_SYSCALL(fstat)(opened_.get(), &status) == 0 && S_ISFIFO(status.st_mode) &&
                static_cast<std::uint64_t>(status.st_dev) == place.device &&
                static_cast<std::uint64_t>(status.st_ino) == place.inode)
                fd_ = opened_.get();
        }

        void ring() const noexcept {
            if (fd_ != -1) ring_at(fd_);
        }
        /// Clears it, however often it was rung.
        void clear() const noexcept {
            std::array<char, 64> rings{};
            while (fd_ != -1 && retry_interrupted([&] {
                                    return MUSTER_SYSCALL(read)(fd_, rings.data(), rings.size());
                                }) > 0) {
            }
        }

      private:
        Fd opened_;
        int fd_ = -1;
    };

  private:
    static int open_at(const BellPlace& place) noexcept {
        std::array<char, 40> path{};
        (void)std::snprintf(path.data(), path.size(), "/proc/%d/fd/%d",
                            static_cast<int>(id_in(place.process)), static_cast<int>(place.fd));
        return MUSTER_SYSCALL(open)(path.data(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    }

    static void ring_at(int fd) noexcept {
        const char one = 1;
        (void)retry_interrupted([&] { return MUSTER_SYSCALL(write)(fd, &one, 1); });
    }

    PrivateFd fd_;
    BellPlace place_;
};

}  // namespace muster::detail::posix
