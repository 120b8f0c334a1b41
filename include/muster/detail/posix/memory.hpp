// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <limits>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <utility>

namespace muster::detail::posix {

/// Memory without a name that processes can map: `bytes` zeros, which cost nothing until touched.
///
/// It lives as long as a descriptor or a mapping of it; there is nothing to clean up. `label` is
/// what `/proc/<pid>/maps` shows.
///
/// Throws: `std::system_error`; with `EFBIG` when `bytes` is above the file size limit of the
///         process (`ulimit -f`), which would otherwise end it by a signal.
inline Fd anonymous_memory(const char* label, std::size_t bytes) {
    constexpr unsigned noexec_seal = 8;  // MFD_NOEXEC_SEAL, Linux 6.3; some systems insist on it.
    int raw = MUSTER_SYSCALL(memfd_create)(label, MFD_CLOEXEC | noexec_seal);
    if (raw == -1 && errno == EINVAL) raw = MUSTER_SYSCALL(memfd_create)(label, MFD_CLOEXEC);
    Fd fd = above_stdio(Fd{check(raw, "memfd_create")});

    if (bytes > static_cast<std::size_t>(std::numeric_limits<::off_t>::max()))
        throw_error(EFBIG, "ftruncate");
    ::rlimit limit{};
    if (MUSTER_SYSCALL(getrlimit)(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        bytes > limit.rlim_cur)
        throw_error(EFBIG, "ftruncate");
    check(retry_interrupted(
              [&] { return MUSTER_SYSCALL(ftruncate)(fd.get(), static_cast<::off_t>(bytes)); }),
          "ftruncate");
    return fd;
}

/// Gives the pages of a range back to the system; the whole range then reads as zeros.
///
/// Best effort: where the system can't, the memory and its bytes stay.
inline void discard(int fd, std::size_t offset, std::size_t size) noexcept {
    (void)retry_interrupted([&] {
        return MUSTER_SYSCALL(fallocate)(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                         static_cast<::off_t>(offset), static_cast<::off_t>(size));
    });
}

/// The unit of mappings: offsets are multiples of it.
inline std::size_t page_size() noexcept {
    return static_cast<std::size_t>(MUSTER_SYSCALL(sysconf)(_SC_PAGESIZE));
}

/// The bytes of memory this machine has; 0 if it won't say.
inline std::size_t physical_memory() noexcept {
    const long pages = MUSTER_SYSCALL(sysconf)(_SC_PHYS_PAGES);
    if (pages <= 0) return 0;
    const std::size_t most = std::numeric_limits<std::size_t>::max() / page_size();
    return static_cast<std::size_t>(pages) > most ? std::numeric_limits<std::size_t>::max()
                                                  : static_cast<std::size_t>(pages) * page_size();
}

/// Owns a shared mapping of a part of a file. An empty Mapping has no data and size 0.
///
/// It outlives the descriptor it was made from. Thread safety: none; the bytes are the user's.
class [[nodiscard("a Mapping ends at once when it is dropped")]] Mapping {
  public:
    Mapping() noexcept = default;
    Mapping(Mapping&& other) noexcept
        : data_{std::exchange(other.data_, nullptr)}, size_{std::exchange(other.size_, 0)} {}
    Mapping& operator=(Mapping other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Mapping() {
        if (data_ != nullptr) MUSTER_SYSCALL(munmap)(data_, size_);
    }

    /// Maps `size` bytes from `offset` (a multiple of the page size) for reading and writing.
    ///
    /// Throws: `std::system_error`.
    static Mapping read_write(int fd, std::size_t offset, std::size_t size) {
        return {fd, offset, size, PROT_READ | PROT_WRITE};
    }
    static Mapping read_write(const Fd& fd, std::size_t offset, std::size_t size) {
        return read_write(fd.get(), offset, size);
    }

    /// As read_write; but a write through it ends the process that tries.
    ///
    /// Throws: `std::system_error`.
    static Mapping read_only(int fd, std::size_t offset, std::size_t size) {
        return {fd, offset, size, PROT_READ};
    }
    static Mapping read_only(const Fd& fd, std::size_t offset, std::size_t size) {
        return read_only(fd.get(), offset, size);
    }

    /// Copies of this process, made by `fork`, will not have it.
    void keep_from_copies() const noexcept {
        (void)MUSTER_SYSCALL(madvise)(data_, size_, MADV_DONTFORK);
    }

    /// Gives the mapping away: the caller ends it, or keeps it to the end of the process.
    [[nodiscard]] std::byte* release() noexcept {
        size_ = 0;
        return std::exchange(data_, nullptr);
    }

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

  private:
    Mapping(int fd, std::size_t offset, std::size_t size, int protection) {
        void* data = MUSTER_SYSCALL(mmap)(nullptr, size, protection, MAP_SHARED | MAP_NORESERVE, fd,
                                          static_cast<::off_t>(offset));
        if (data == MAP_FAILED) throw_errno("mmap");
        data_ = static_cast<std::byte*>(data);
        size_ = size;
    }

    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace muster::detail::posix
