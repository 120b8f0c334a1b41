// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>

/// How a process knows that it is a worker: by what it inherited, never by its command line.
namespace muster::detail {

/// What a worker inherits, in this order.
enum class Inherited : std::size_t {
    lifeline,
    worker_memory,
    pool_memory,
    bell,
    leader_bell,
    family
};

/// The descriptors of a worker, by `Inherited`.
using WorkerFds = std::array<int, 6>;

/// Where a worker that was started afresh finds them.
inline constexpr WorkerFds spawned_fds{3, 4, 5, 6, 7, 8};

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

/// What the environment tells a worker: the number in its memory, and the descriptors. Behind that,
/// where it was started afresh, who started it.
inline std::string worker_identity(const std::array<std::byte, 16>& nonce, const WorkerFds& fds) {
    std::string text = to_hex(nonce);
    for (const int fd : fds) text += ' ' + std::to_string(fd);
    return text;
}

/// A worker's end of what connects it to its parent; without a page in an ordinary process.
struct WorkerLink {
    WorkerPage* page = nullptr;
    WorkerFds fds{};
    std::int64_t starter = -1;  ///< The process that started it, where it was started afresh.
    bool refused = false;       ///< The system did not give what it takes to find the page.

    [[nodiscard]] int fd(Inherited which) const noexcept {
        return fds[static_cast<std::size_t>(which)];
    }
};

/// The link that the environment speaks of; without a page if it is not there.
///
/// The environment variable alone proves nothing, since programs that a worker starts inherit it: the
/// descriptor must hold a memory with the same random number in it.
inline WorkerLink read_worker_link(const char* identity) noexcept {
    WorkerLink link;
    try {
        const char* text = identity + std::strcspn(identity, " ");
        for (int& fd : link.fds) {
            char* end = nullptr;
            fd = static_cast<int>(std::strtol(text, &end, 10));
            if (end == text) return {};
            text = end;
        }
        if (*text == ' ') link.starter = std::strtoll(text, nullptr, 10);
        const int memory = link.fd(Inherited::worker_memory);
        std::array<std::byte, sizeof(std::uint64_t) + 16> head{};
        if (!os::read_at_start(memory, head)) return link;
        std::uint64_t magic = 0;
        std::array<std::byte, 16> inside{};
        std::memcpy(&magic, head.data(), sizeof magic);
        std::memcpy(inside.data(), head.data() + sizeof magic, inside.size());
        const std::string_view own(identity, static_cast<std::size_t>(text - identity));
        if (magic != protocol_magic || worker_identity(inside, link.fds) != own) return link;
        for (const int fd : link.fds) os::keep_from_children(fd);
        // Kept to the end of the process: who asks once more gets the same page.
        link.page = reinterpret_cast<WorkerPage*>(
            os::Mapping::read_write(memory, 0, result_ring_offset).release());
    } catch (...) {
        link.refused = true;
    }
    return link;
}

/// Tells the parent why this worker cannot serve. Best effort: the parent may be gone.
inline void send_to_parent(int lifeline, Packet::Kind kind, std::string_view text = {}) noexcept {
    Packet packet;
    packet.kind = kind;
    packet.say(text);
    try {
        (void)os::send_packet(lifeline, packet.content());
    } catch (...) {  // Then the parent sees the end of this process, which says less.
    }
}

/// Ends a worker that has not even its link.
[[noreturn]] inline void end_without_link(const WorkerFds& fds) noexcept {
    send_to_parent(fds[static_cast<std::size_t>(Inherited::lifeline)], Packet::Kind::cannot_serve,
                   "the system gives it no memory");
    os::end_process(1);
}

/// The link of this process.
///
/// A worker that cannot read it, say because a library has closed all descriptors, ends: taken for an
/// ordinary start it would run the program once more, with workers that do the same.
inline WorkerLink find_worker_link() noexcept {
    const char* const identity = std::getenv(worker_variable);
    if (!identity) return {};
    const WorkerLink link = read_worker_link(identity);
    if (!link.page && link.starter == os::parent_process_id()) {
        if (link.refused) end_without_link(link.fds);
        std::fputs(
            "muster: a worker process ends, because what it inherited from its parent was closed "
            "or replaced before main; leave descriptors 3 to 8 open in static initializers\n",
            stderr);
        os::end_process(1);
    }
    return link;
}

/// As `find_worker_link`, looked up once in this process and once in each copy of it. Each shared
/// library may have its own copy of the answer: it comes from the system and is the same.
inline const WorkerLink& own_worker_link() noexcept {
    struct Known {
        std::uint64_t generation;
        WorkerLink link;
        const Known* before;  // Of the process that this one is a copy of; kept, never used.
    };
    static std::atomic<const Known*> known{nullptr};
    const std::uint64_t generation = os::fork_generation();
    const Known* found = known.load(std::memory_order_acquire);
    if (!found || found->generation != generation) {
        const WorkerLink link = find_worker_link();
        found = new (std::nothrow) Known{generation, link, found};
        static const WorkerLink none;
        if (!found && link.page) end_without_link(link.fds);
        if (!found) return none;
        known.store(found, std::memory_order_release);
    }
    return found->link;
}

inline WorkerPage* own_worker_page() noexcept { return own_worker_link().page; }

/// True in a worker that has not reached its guard: there nothing may start processes.
inline bool is_before_guard() noexcept {
    const WorkerPage* const page = own_worker_page();
    return page && page->guard_passed.load(std::memory_order_seq_cst) == 0;
}

/// What this process is called, for its children and for `current_process`.
inline std::string own_name() {
    const WorkerPage* const page = own_worker_page();
    if (!page) return "MainProcess";
    return page->call != 0 ? page->name.data() : "PoolWorker";
}

/// Writes into the page of a process that is about to be started by what it knows this one.
inline void introduce_parent(WorkerPage& page) {
    page.nonce = os::random_nonce();
    page.parent = os::fork_generation();
    copy_text(page.parent_name, own_name());
}

/// As above, in a worker that has its link.
inline void send_to_parent(Packet::Kind kind, std::string_view text = {}) noexcept {
    send_to_parent(own_worker_link().fd(Inherited::lifeline), kind, text);
}

/// Receives the next packet of the other end. False when that is closed.
///
/// **Throws**: `std::system_error`, also where what was sent is no packet.
inline bool receive_packet(int lifeline, Packet& packet) {
    const auto size = os::receive_packet(lifeline, std::as_writable_bytes(std::span(&packet, 1)));
    if (!size) return false;
    if (!packet.is_whole(*size))
        throw std::system_error(std::make_error_code(std::errc::bad_message),
                                "muster: a packet between a worker process and its parent");
    return true;
}

/// The next packet of the worker at the other end; none when the other end is closed, or broken.
inline std::optional<Packet> receive_from_worker(int lifeline) noexcept {
    std::optional<Packet> packet(std::in_place);
    try {
        if (receive_packet(lifeline, *packet)) return packet;
    } catch (...) {  // A broken lifeline is a cut one.
    }
    return std::nullopt;
}

/// Asks the worker at the other end to stop a task, if it can be told so at once; else false.
inline bool send_stop(int lifeline, std::uint64_t task) noexcept {
    Packet packet;
    packet.kind = Packet::Kind::stop;
    packet.id = task;
    try {
        return os::try_send_packet(lifeline, packet.content()) == os::SendResult::sent;
    } catch (...) {
        return false;
    }
}

/// Has a `Process` make its call. False if it has died.
inline bool send_begin(int lifeline) noexcept {
    Packet packet;
    packet.kind = Packet::Kind::begin;
    try {
        return os::send_packet(lifeline, packet.content());
    } catch (...) {
        return false;
    }
}

}  // namespace muster::detail
