// SPDX-License-Identifier: MIT
#pragma once

#include <muster/muster.hpp>

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "board.hpp"
#include "memory.hpp"

namespace chaos {

/// What becomes of a task if nobody disturbs it.
enum class Fate : std::uint8_t {
    returns,
    sleeps,            ///< For a while, and returns.
    stops_when_asked,  ///< Or returns after a while.
    throws,
    crashes,
    overruns,
    fills_memory,  ///< And has it back when it has thrown `std::bad_alloc`.
    argument_encoder_throws,
    argument_decoder_throws,
    result_encoder_throws,
    result_decoder_throws,
    destructor_throws,  ///< Which ends the process.
    count
};

inline bool is_callers(Fate fate) {
    return fate == Fate::argument_encoder_throws || fate == Fate::result_decoder_throws;
}

/// Goes with a task there and back, and fails on the way where its fate says so.
struct Passenger {
    std::uint64_t id = 0;
    Fate fate = Fate::returns;

    Passenger() = default;
    Passenger(std::uint64_t of, Fate with) : id{of}, fate{with} {}
    Passenger(const Passenger&) = default;
    Passenger(Passenger&& other) noexcept
        : id{other.id}, fate{std::exchange(other.fate, Fate::returns)} {}
    Passenger& operator=(Passenger other) noexcept {
        std::swap(id, other.id);
        std::swap(fate, other.fate);
        return *this;
    }
    ~Passenger() {
        if (fate == Fate::destructor_throws && muster::in_worker()) fail();
    }

    template <typename Archive>
    void save(Archive& archive) const {
        fail_at(Fate::argument_encoder_throws, Fate::result_encoder_throws);
        archive(id, fate);
    }
    template <typename Archive>
    void load(Archive& archive) {
        archive(id, fate);
        fail_at(Fate::result_decoder_throws, Fate::argument_decoder_throws);
    }

  private:
    void fail_at(Fate here, Fate in_worker) const {
        if (fate == (muster::in_worker() ? in_worker : here)) fail();
    }
    void fail() const { throw std::domain_error(std::to_string(id)); }
};

struct Job {
    std::uint64_t id = 0;
    Fate fate = Fate::returns;
    std::uint32_t amount = 0;  ///< Microseconds that it sleeps, or how it crashes.
    std::vector<std::uint8_t> load = {};
    Passenger passenger = {};
};

struct Answer {
    std::uint64_t value = 0;
    std::vector<std::uint8_t> load = {};
    Passenger passenger = {};
};

/// What the task returns that has this job.
inline std::uint64_t value_of(std::uint64_t id) { return id * id + 7; }
inline std::uint8_t load_of(std::uint64_t id, std::size_t at) {
    return static_cast<std::uint8_t>(id * 31 + at * 7);
}

[[noreturn]] inline void crash(std::uint32_t how) {
    if (how % 4 == 0) ::_exit(3);
    ::raise(how % 4 == 1 ? SIGKILL : how % 4 == 2 ? SIGSEGV : SIGABRT);
    ::_exit(4);
}
/// As `WorkerCrashed::exit_code` has it.
inline int code_of_crash(std::uint32_t how) {
    constexpr int codes[]{3, -SIGKILL, -SIGSEGV, -SIGABRT};
    return codes[how % 4];
}

/// The task.
inline Answer run(muster::StopToken stop, Job job) {
    Board* const board = Board::own();
    if (board == nullptr) throw std::logic_error("a worker has no board");
    board->runs[job.id].fetch_add(1);
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::microseconds(job.amount % 100'000);
    switch (job.fate) {
        case Fate::throws:
            throw std::out_of_range(std::to_string(job.id));
        case Fate::crashes:
            crash(job.amount);
        case Fate::overruns:
            for (;;) ::pause();
        case Fate::fills_memory:
            fill_memory();
        case Fate::sleeps:
            std::this_thread::sleep_until(end);
            break;
        case Fate::stops_when_asked:
            while (!stop.stop_requested() && std::chrono::steady_clock::now() < end)
                std::this_thread::yield();
            break;
        default:
            break;
    }
    for (std::size_t i = 0; i < job.load.size(); ++i)
        if (job.load[i] != load_of(job.id, i)) throw std::logic_error("a wrong argument");
    for (std::uint8_t& byte : job.load) byte = static_cast<std::uint8_t>(~byte);
    return {value_of(job.id), std::move(job.load), std::move(job.passenger)};
}

}  // namespace chaos
