// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// The memory that a parent and its worker processes share, and who writes what.
///
/// Pool memory, one for all workers of a pool; the parent writes, the workers map it read-only:
///
///     PoolPage | TaskRing of each worker, modules, Records with encoded arguments, as allocated
///
/// Worker memory, one for each worker; both write, each its own words:
///
///     WorkerPage: claim words, counters | result ring | large results, sparse
///
/// | word                  | written by     | read by | says                                       |
/// |-----------------------|----------------|---------|--------------------------------------------|
/// | TaskRing::head        | parent         | worker  | how many tasks were handed out             |
/// | WorkerPage::claims    | whoever is first | both  | offered, then begun or recalled; recalled, |
/// |                       |                |         | then offered again or skipped              |
/// | WorkerPage::published | worker         | parent  | bytes of results written                   |
/// | WorkerPage::received  | parent         | worker  | bytes of results read                      |
///
/// A worker owns no lock and shares no queue with other workers, so its death at any instruction
/// leaves nothing locked. The claim word says which task it took along: the one that is begun and
/// whose result is not published.
// Models of the protocol stand in tests/models/claims.pml, result_ring.pml and results.pml.
namespace muster::detail {

/// Bytes from the start of a memory.
using Offset = std::uint64_t;

inline constexpr std::uint64_t protocol_magic = 0x6d75'7374'6572'0002;
inline constexpr std::size_t ring_slots = 256;
inline constexpr std::size_t result_ring_bytes = std::size_t{256} * 1024;
inline constexpr std::size_t largest_ring_result = std::size_t{32} * 1024;
inline constexpr std::size_t large_slots = 64;
inline constexpr std::size_t largest_module_id = 64;

/// A task as a worker sees it. Its encoded callable and arguments follow.
struct Record {
    std::uint64_t id = 0;        ///< Of the task, in its pool: no other ever has it.
    std::uint64_t function = 0;  ///< Module index << 48 | offset of the thunk in that module.
    std::uint64_t size = 0;      ///< Bytes of arguments.
    std::atomic<std::uint32_t> stop_requested{0};
    std::uint32_t takes_stop = 0;  ///< Whether anybody could hear the request.
};

/// The tasks handed to one worker, turn by turn. Slot `n % ring_slots` holds the n-th turn's record.
struct TaskRing {
    alignas(64) std::atomic<std::uint64_t> head{0};
    std::atomic<std::uint32_t> quit{0};  ///< No further task comes.
    std::array<Offset, ring_slots> records{};
};

/// What a worker knows of a module that holds functions. Its path follows.
struct ModuleRecord {
    std::uint32_t id_size = 0;
    std::uint32_t path_size = 0;
    std::array<std::byte, largest_module_id> id{};
};

inline constexpr std::size_t most_modules = 1024;

struct PoolPage {
    std::uint64_t magic = protocol_magic;
    Offset initializer = 0;  ///< A Record, or 0.
    /// How many threads of the parent are receiving results: then nobody has to ring the bell.
    alignas(64) std::atomic<std::uint32_t> receivers{0};
    /// Changes whenever one of them stops, after which one ring is enough for all that follows.
    std::atomic<std::uint32_t> bell_epoch{0};
    /// Not 0 while a thread that waits for a result sleeps at a bell of its own: ring that one.
    std::atomic<std::uint32_t> leader{0};
    alignas(64) std::atomic<std::uint32_t> module_count{0};
    std::array<Offset, most_modules> modules{};
};

/// The life of a claim word; the upper bits are the number of the turn, so that a slot's next turn
/// is not taken for this one.
///
///     offered --worker--> begun
///        | ^ parent
///        v |
///     recalled --worker--> skipped
enum class Claim : std::uint64_t { offered, begun, recalled, skipped };

constexpr std::uint64_t claim_word(std::uint64_t number, Claim claim) noexcept {
    return number << 2 | static_cast<std::uint64_t>(claim);
}

/// What a worker is doing, for the message if it dies there.
enum class Stage : std::uint32_t { decoding, running, encoding };

enum class WorkerRole : std::uint32_t {
    worker,       ///< Ends by `std::exit`.
    copy,         ///< A copy of the program as it was: ends without its exit handlers.
    fork_server,  ///< Runs no task; workers are copies of it.
};

struct WorkerPage {
    std::uint64_t magic = protocol_magic;
    std::array<std::byte, 16> nonce{};
    std::int64_t parent_pid = 0;  ///< 0: who made it sees to its end itself.
    WorkerRole role = WorkerRole::worker;
    Offset task_ring = 0;      ///< In the pool's memory.
    Offset call = 0;           ///< In place of a ring: all that a Process runs, a Record.
    std::uint64_t parent = 0;  ///< The `fork_generation` of the process whose child it is.
    std::array<char, 256> parent_name{};
    std::array<char, 256> name{};  ///< Of a Process.
    std::uint32_t daemon = 0;      ///< Whether it is one that nobody waits for.
    std::uint64_t pool_bytes = 0;
    std::uint64_t worker_bytes = 0;
    std::array<char, 64> process_name{};
    std::uint32_t program_id_size = 0;
    std::array<std::byte, largest_module_id> program_id{};
    std::atomic<std::uint32_t> guard_passed{0};

    alignas(64) std::atomic<std::uint32_t> asleep{
        0};  ///< Set by the worker before it sleeps on it.
    std::atomic<std::uint64_t> received{0};

    alignas(64) std::atomic<std::uint64_t> published{0};
    std::atomic<Stage> stage{Stage::decoding};
    /// The steady clock shortly before the last task was claimed.
    std::atomic<std::int64_t> begun_ns{0};

    alignas(64) std::array<std::atomic<std::uint64_t>, ring_slots> claims{};
    std::array<std::atomic<std::uint32_t>, large_slots> large_in_use{};

    /// The `fork_generation` of a Process that has begun its call.
    std::atomic<std::uint64_t> caller{0};
    /// The same of one that ends by an error.
    std::atomic<std::uint64_t> dying{0};
    /// How many threads it has started since then and waits for; it sleeps on that.
    std::atomic<std::uint32_t> awaited_threads{0};
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// In the result ring, before each result; the whole is a multiple of 16 bytes.
struct ResultHeader {
    enum class Kind : std::uint32_t { value, large_value, exception, large_exception, padding };

    std::uint64_t number = 0;  ///< Of the turn.
    Kind kind = Kind::padding;
    std::uint32_t size = 0;  ///< Bytes that follow.
    std::int64_t began_ns = 0;
    std::int64_t ended_ns = 0;

    /// Whether these can be times of a task.
    [[nodiscard]] bool timely() const noexcept { return 0 <= began_ns && began_ns <= ended_ns; }
};
// Padding is published with the result behind it, so there must be room for both.
static_assert(2 * (sizeof(ResultHeader) + largest_ring_result) <= result_ring_bytes);

/// Follows the header of a large result.
struct LargeResult {
    std::uint64_t slot = 0;
    Offset offset = 0;  ///< In the worker's memory.
    std::uint64_t size = 0;
};

/// Writes a text into room that is filled with zeros, as much of it as fits.
template <std::size_t size>
void copy_text(std::array<char, size>& to, std::string_view text) noexcept {
    std::copy_n(text.data(), std::min(text.size(), size - 1), to.data());
}

constexpr std::size_t align_up(std::size_t size, std::size_t alignment) noexcept {
    return (size + alignment - 1) / alignment * alignment;
}

inline constexpr std::size_t page_bytes = 65536;  // The largest page of the systems we know.
inline constexpr std::size_t result_ring_offset = align_up(sizeof(WorkerPage), page_bytes);
inline constexpr std::size_t large_results_offset = result_ring_offset + result_ring_bytes;

/// Over the lifeline, as much of it as has content.
struct Packet {
    enum class Kind : std::uint32_t {
        ready,               ///< worker: past the guard, serving
        unguarded,           ///< worker: used a pool before the guard
        other_build,         ///< worker: its program is not the parent's
        initializer_failed,  ///< worker: text says what it threw
        cannot_serve,        ///< worker: text says what it cannot have
        begin,               ///< parent: the Process that it is may make its call
        stop                 ///< parent: ask the task `id` to stop
    };
    Kind kind = Kind::ready;
    std::uint32_t text_size = 0;
    std::uint64_t id = 0;
    std::array<char, 16384> text{};

    /// Takes a copy of the words. Where they are too long it ends with an ellipsis, and not inside
    /// a character.
    void say(std::string_view words) noexcept {
        std::string_view end;
        if (words.size() > text.size()) {
            end = "\xE2\x80\xA6";
            // A character of UTF-8 has at most three bytes beyond its first. In a text of another
            // encoding any byte may look like one of these.
            std::size_t kept = text.size() - end.size();
            const std::size_t least = kept - 3;
            while (kept > least && (words[kept] & 0xC0) == 0x80) --kept;
            words = words.substr(0, kept);
        }
        std::copy(end.begin(), end.end(), std::copy(words.begin(), words.end(), text.begin()));
        text_size = static_cast<std::uint32_t>(words.size() + end.size());
    }
    [[nodiscard]] std::string words() const {
        return {text.data(), std::min<std::size_t>(text_size, text.size())};
    }

    /// What goes over the lifeline.
    [[nodiscard]] std::span<const std::byte> content() const noexcept {
        return std::as_bytes(std::span(this, 1)).first(head_size() + text_size);
    }
    /// Whether so many bytes, which were received, are all of its content.
    [[nodiscard]] bool is_whole(std::size_t received) const noexcept {
        return received >= head_size() && received - head_size() == text_size;
    }
    static constexpr std::size_t head_size() noexcept { return offsetof(Packet, text); }
};

}  // namespace muster::detail
