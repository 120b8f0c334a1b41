// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>

/// How a process knows that it is a worker: by what it inherited, never by its command line.
namespace muster::detail {

/// Where a worker finds what it inherits.
enum class Inherited : int { lifeline = 3, worker_memory, pool_memory, bell, leader_bell };

inline constexpr const char* worker_variable = "MUSTER_WORKER";

inline std::string to_hex(const std::array<std::byte, 16>& bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::byte byte : bytes) {
        text += digits[std::to_integer<unsigned>(byte) >> 4];
        text += digits[std::to_integer<unsigned>(byte) & 15];
    }
    return text;
}

/// This process's page of the memory shared with its parent; null in an ordinary process.
///
/// The environment variable alone proves nothing, since programs that a worker starts inherit it: the
/// descriptor must hold a memory with the same random number in it.
inline WorkerPage* find_worker_page() noexcept {
    try {
        const char* const nonce = std::getenv(worker_variable);
        if (!nonce) return nullptr;
        const int memory = static_cast<int>(Inherited::worker_memory);
        std::array<std::byte, sizeof(std::uint64_t) + 16> head{};
        if (!os::read_at_start(memory, head)) return nullptr;
        std::uint64_t magic = 0;
        std::array<std::byte, 16> inside{};
        std::memcpy(&magic, head.data(), sizeof magic);
        std::memcpy(inside.data(), head.data() + sizeof magic, inside.size());
        if (magic != protocol_magic || to_hex(inside) != nonce) return nullptr;
        for (const Inherited fd : {Inherited::lifeline, Inherited::worker_memory,
                                   Inherited::pool_memory, Inherited::bell, Inherited::leader_bell})
            os::keep_from_children(static_cast<int>(fd));
        // Kept to the end of the process: who asks once more gets the same page.
        static os::Mapping& mapping =
            *new os::Mapping(os::Mapping::read_write(memory, 0, result_ring_offset));
        return reinterpret_cast<WorkerPage*>(mapping.data());
    } catch (...) {
        return nullptr;
    }
}

/// As `find_worker_page`, looked up once. Each shared library may have its own copy of the answer:
/// it comes from the system and is the same.
inline WorkerPage* own_worker_page() noexcept {
    static WorkerPage* const page = find_worker_page();
    return page;
}

/// Tells the parent why this worker cannot serve. Best effort: the parent may be gone.
inline void send_to_parent(Packet::Kind kind, std::string_view text = {}) noexcept {
    Packet packet;
    packet.kind = kind;
    packet.text_size = static_cast<std::uint32_t>(std::min(text.size(), packet.text.size()));
    std::copy_n(text.data(), packet.text_size, packet.text.data());
    try {
        (void)os::send_packet(static_cast<int>(Inherited::lifeline),
                              std::as_bytes(std::span(&packet, 1)));
    } catch (...) {  // Then the parent sees the end of this process, which says less.
    }
}

}  // namespace muster::detail
