// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <exception>
#include <muster/detail/posix/cgroup.hpp>
#include <muster/detail/posix/syscall.hpp>
#include <vector>

namespace muster::detail::posix {

/// The CPUs that the calling thread may run on; 0 if the system won't say.
///
/// Throws: `std::bad_alloc`.
inline std::size_t affinity_cpus() {
    constexpr std::size_t word_bits = 8 * sizeof(unsigned long);
    constexpr std::size_t most = std::size_t{1} << 20;
    // The system refuses a mask with fewer bits than it has CPUs.
    for (std::size_t bits = 1024; bits <= most; bits *= 2) {
        std::vector<unsigned long> mask(bits / word_bits);
        if (MUSTER_SYSCALL(sched_getaffinity)(0, bits / 8,
                                              reinterpret_cast<::cpu_set_t*>(mask.data())) != -1) {
            std::size_t count = 0;
            for (const unsigned long word : mask)
                count += static_cast<std::size_t>(std::popcount(word));
            return count;
        }
        if (errno != EINVAL) return 0;
    }
    return 0;
}

/// The CPUs that this process may use: what its affinity mask and its control groups leave of the
/// machine's. At least 1.
inline std::size_t usable_cpus() noexcept {
    std::size_t count = 0;
    try {
        count = affinity_cpus();
        if (count == 0)
            count = static_cast<std::size_t>(
                std::max(1L, MUSTER_SYSCALL(sysconf)(_SC_NPROCESSORS_ONLN)));
        for (const CgroupVersion version : {CgroupVersion::v1, CgroupVersion::v2})
            count = std::min(count, cgroup_cpus("/proc/self", "", version).value_or(count));
    } catch (const std::exception&) {
        // Out of memory: what is known so far will do.
    }
    return std::max(count, std::size_t{1});
}

}  // namespace muster::detail::posix
