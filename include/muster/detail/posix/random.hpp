// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/syscall.hpp>

namespace muster::detail::posix {

/// Sixteen bytes that nobody can guess, new at every call.
///
/// Throws: `std::system_error`.
inline std::array<std::byte, 16> random_nonce() {
    std::array<std::byte, 16> nonce{};
    const auto taken =
        retry_interrupted([&] { return MUSTER_SYSCALL(getrandom)(nonce.data(), nonce.size(), 0); });
    if (taken == static_cast<::ssize_t>(nonce.size())) return nonce;

    // An old kernel, or a sandbox that doesn't know the call.
    const Fd source{
        check(MUSTER_SYSCALL(open)("/dev/urandom", O_RDONLY | O_CLOEXEC), "open /dev/urandom")};
    for (std::size_t have = 0; have < nonce.size();) {
        const auto more = retry_interrupted([&] {
            return MUSTER_SYSCALL(read)(source.get(), nonce.data() + have, nonce.size() - have);
        });
        if (more == 0) throw_error(EIO, "read /dev/urandom");
        have += static_cast<std::size_t>(check(more, "read /dev/urandom"));
    }
    return nonce;
}

}  // namespace muster::detail::posix
