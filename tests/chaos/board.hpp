// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace chaos {

/// The system calls that are made to fail, or to be interrupted.
enum class Fault {
    fork,
    spawn,
    mmap,
    memory,
    descriptor,
    pidfd,
    futex,
    write,
    full,
    transfer,
    request,
    handed,
    count
};
inline constexpr std::array fault_names{"fork",
                                        "posix_spawn",
                                        "mmap",
                                        "memfd_create",
                                        "descriptor",
                                        "pidfd_open",
                                        "futex",
                                        "write",
                                        "write to a full bell",
                                        "transfer",
                                        "sendmsg of descriptors",
                                        "recvmsg of descriptors"};
static_assert(fault_names.size() == static_cast<std::size_t>(Fault::count));

/// How the outside process disturbs the others.
enum class Blow { kill, segv, stop_and_kill, stall, server, count };
inline constexpr std::array blow_names{"SIGKILL", "SIGSEGV", "SIGSTOP then SIGKILL",
                                       "SIGSTOP then SIGCONT", "of a fork server or snapshot"};
static_assert(blow_names.size() == static_cast<std::size_t>(Blow::count));

/// What is counted, and printed at the end.
enum class Tally {
    pools,
    tasks,
    refused,
    values,
    exceptions,
    starved,
    crashes,
    timeouts,
    cancelled,
    broken,
    callbacks,
    processes,
    items,
    abandoned,
    permits,
    broken_barriers,
    messages,
    cut_pipes,
    count
};
inline constexpr std::array tally_names{"pools",
                                        "tasks accepted",
                                        "tasks refused",
                                        "  ended with a value",
                                        "  with an exception",
                                        "    std::bad_alloc",
                                        "  with WorkerCrashed",
                                        "  with TaskTimeout",
                                        "  with CancelledError",
                                        "  with BrokenProcessPool",
                                        "callbacks",
                                        "processes at primitives",
                                        "items through queues",
                                        "locks abandoned, recovered",
                                        "permits of semaphores",
                                        "barriers broken",
                                        "messages through pipes",
                                        "pipes cut by a death"};
static_assert(tally_names.size() == static_cast<std::size_t>(Tally::count));

/// What all processes of a run see: it lies in a file that each maps, and outlives each of them.
///
/// All zeros is its first state. Thread safety: all members, for all processes.
struct Board {
    static constexpr std::size_t most_tasks = 1 << 24;
    static constexpr std::size_t most_killed = 1 << 20;
    static constexpr std::size_t most_violations = 40;

    std::atomic<std::uint64_t> progress;  ///< Changes as long as nothing hangs.
    std::atomic<std::uint64_t> round;
    std::atomic<std::uint64_t> next_task;  ///< The number that the next one gets.
    // The weather of the round: how often the outside process strikes; 0: not at all.
    std::atomic<std::uint32_t> blow_every_us;
    std::atomic<std::uint32_t> fault_every_us;
    std::atomic<std::uint32_t> has_servers;  ///< Processes are copies of others'.
    std::atomic<std::uint32_t> servers_die;  ///< These are struck, too.

    // Of the outside process: how often it has looked at the weather, and what it has not ended yet.
    std::atomic<std::uint64_t> turns;
    std::atomic<std::uint64_t> stops_under_way;
    // How much there was of it when the round began.
    std::atomic<std::uint32_t> killed_before;
    std::atomic<std::uint64_t> servers_before;
    std::atomic<std::uint64_t> faults_before;

    std::array<std::atomic<std::int32_t>, static_cast<std::size_t>(Fault::count)> countdown;
    std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Fault::count)> injected;
    std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Blow::count)> blows;
    std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Tally::count)> tallies;

    std::atomic<std::uint32_t> violation_count;
    std::array<std::array<char, 240>, most_violations> violations;

    std::atomic<std::uint32_t> killed_count;
    std::array<std::atomic<::pid_t>, most_killed> killed;    ///< Written before the blow.
    std::array<std::atomic<std::uint8_t>, most_tasks> runs;  ///< How often each task was begun.

    void add(Tally tally, std::uint64_t count = 1) noexcept {
        tallies[static_cast<std::size_t>(tally)].fetch_add(count);
    }
    [[nodiscard]] std::uint64_t sum(Tally tally) const noexcept {
        return tallies[static_cast<std::size_t>(tally)].load();
    }

    /// No blow and no fault from now on.
    void calm() noexcept {
        blow_every_us.store(0);
        fault_every_us.store(0);
        for (auto& calls : countdown) calls.store(0);
    }

    /// What happens from now on is the round's. False if the outside process does not say that it
    /// has ended what it did in the round before.
    ///
    /// Requires: it is calm.
    [[nodiscard]] bool begin_round() noexcept {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        const std::uint64_t turn = turns.load();
        while (turns.load() == turn || stops_under_way.load() != 0) {
            if (std::chrono::steady_clock::now() > limit) return false;
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        killed_before.store(killed_count.load());
        servers_before.store(blows[static_cast<std::size_t>(Blow::server)].load());
        faults_before.store(all_injected());
        round.fetch_add(1);
        return true;
    }

    /// Something that must not be. The first ones are kept.
    void violation(const std::string& text) noexcept {
        const std::uint32_t number = violation_count.fetch_add(1);
        if (number < most_violations)
            std::snprintf(violations[number].data(), violations[number].size(), "round %llu: %s",
                          static_cast<unsigned long long>(round.load()), text.c_str());
    }

    /// Whether this call is one that fails. Async-signal-safe, as a copied process needs it.
    bool fails(Fault fault) noexcept {
        const auto index = static_cast<std::size_t>(fault);
        if (countdown[index].load(std::memory_order_relaxed) <= 0) return false;
        if (countdown[index].fetch_sub(1) != 1) return false;
        injected[index].fetch_add(1);
        return true;
    }

    // --- what has happened in this round

    /// Before a process is killed.
    void note_kill(::pid_t pid) noexcept {
        killed[killed_count.fetch_add(1) % most_killed].store(pid);
    }
    /// How many processes were killed by others.
    [[nodiscard]] std::uint32_t struck() const noexcept {
        return killed_count.load() - killed_before.load();
    }
    [[nodiscard]] bool was_struck(::pid_t pid) const noexcept {
        const std::uint32_t before = killed_before.load();
        for (std::uint32_t i = killed_count.load(); i-- > before;)
            if (killed[i % most_killed].load() == pid) return true;
        return false;
    }
    /// Their copies end with them.
    [[nodiscard]] bool server_was_struck() const noexcept {
        return blows[static_cast<std::size_t>(Blow::server)].load() != servers_before.load();
    }
    [[nodiscard]] bool faulted() const noexcept { return all_injected() != faults_before.load(); }

    static constexpr const char* variable = "CHAOS_BOARD";

    /// The board of this run; null in the process that starts it.
    static Board* own() noexcept {
        static Board* const board = [] {
            const char* const path = std::getenv(variable);
            return path ? map(path) : nullptr;
        }();
        return board;
    }

    /// Null where that is impossible.
    static Board* map(const char* path) noexcept {
        const int file = ::open(path, O_RDWR | O_CLOEXEC);
        if (file == -1) return nullptr;
        void* const memory =
            ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        ::close(file);
        return memory == MAP_FAILED ? nullptr : static_cast<Board*>(memory);
    }

  private:
    [[nodiscard]] std::uint64_t all_injected() const noexcept {
        std::uint64_t sum = 0;
        for (const auto& calls : injected) sum += calls.load();
        return sum;
    }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace chaos
