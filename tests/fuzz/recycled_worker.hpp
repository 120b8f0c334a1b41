// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <string_view>

// To make the memory that a worker shares with its parent, and its lifeline, takes the system longer
// than all that is fuzzed. So they are made once, and each worker gets the same, as if they were new:
// the linker leads the calls that make them here (--wrap), and those that are for others go on.

extern "C" {
int __real_memfd_create(const char* name, unsigned flags);
void* __real_mmap(void* at, std::size_t size, int protection, int flags, int fd, ::off_t offset);
int __real_munmap(void* data, std::size_t size);
int __real_socketpair(int domain, int type, int protocol, int* pair);
}

namespace fuzz {

/// The memory of the only worker that there is at a time.
class WorkerMemory {
  public:
    /// A descriptor of it.
    int open(const char* name, unsigned flags) noexcept {
        if (fd_ == -1) fd_ = __real_memfd_create(name, flags);
        return given_ = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
    }
    [[nodiscard]] bool gave(int fd) const noexcept { return fd != -1 && fd == given_; }

    void* map(std::size_t size, int protection, int flags) noexcept {
        if (!data_) {
            void* const mapped = __real_mmap(nullptr, size, protection, flags, fd_, 0);
            if (mapped == MAP_FAILED) return mapped;
            data_ = static_cast<std::byte*>(mapped);
            size_ = size;
        }
        given_ = -1;  // Its number may be another file's next time.
        return data_;
    }
    [[nodiscard]] bool is_at(const void* data) const noexcept { return data_ && data == data_; }

    /// Makes it zeros again, where it was written.
    void clear() noexcept {
        using namespace muster::detail;
        std::memset(data_, 0, sizeof(WorkerPage));
        std::memset(data_ + result_ring_offset, 0, ring_written_);
        std::memset(data_ + large_results_offset, 0, large_written_);
        // Also what was only read has pages now.
        if (large_read_) os::discard(fd_, large_results_offset, size_ - large_results_offset);
        ring_written_ = large_written_ = 0;
        large_read_ = false;
    }

    void ring_written(std::size_t bytes) noexcept {
        ring_written_ = std::max(ring_written_, bytes);
    }
    void large_written(std::size_t bytes) noexcept {
        large_written_ = std::max(large_written_, bytes);
    }
    void large_read() noexcept { large_read_ = true; }

  private:
    int fd_ = -1;
    int given_ = -1;
    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t ring_written_ = 0;
    std::size_t large_written_ = 0;
    bool large_read_ = false;
};

inline constinit WorkerMemory worker_memory;
inline constinit std::array<int, 2> lifeline{-1, -1};

}  // namespace fuzz

extern "C" {

int __wrap_memfd_create(const char* name, unsigned flags) {
    if (name != std::string_view("muster-worker")) return __real_memfd_create(name, flags);
    return fuzz::worker_memory.open(name, flags);
}

void* __wrap_mmap(void* at, std::size_t size, int protection, int flags, int fd, ::off_t offset) {
    if (!fuzz::worker_memory.gave(fd)) return __real_mmap(at, size, protection, flags, fd, offset);
    return fuzz::worker_memory.map(size, protection, flags);
}

int __wrap_munmap(void* data, std::size_t size) {
    if (!fuzz::worker_memory.is_at(data)) return __real_munmap(data, size);
    fuzz::worker_memory.clear();
    return 0;
}

int __wrap_socketpair(int domain, int type, int protocol, int* pair) {
    if (fuzz::lifeline[0] == -1 &&
        __real_socketpair(domain, type, protocol, fuzz::lifeline.data()) == -1)
        return -1;
    for (std::size_t i = 0; i < fuzz::lifeline.size(); ++i)
        pair[i] = ::fcntl(fuzz::lifeline[i], F_DUPFD_CLOEXEC, 0);
    return 0;
}

}  // extern "C"
