// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <muster/detail/ledger.hpp>
#include <muster/detail/start_thread.hpp>
#include <muster/detail/thread_worker.hpp>

namespace muster::detail {

/// The workers of a thread pool: how many there may be, how many there are, and where they are.
///
/// Workers look into each other's queues while their number changes, so no worker's place ever moves:
/// the table consists of blocks, each twice as large as the one before. A place whose worker has
/// ended is given to the next one that starts.
///
/// Thread safety: all members.
class alignas(64) ThreadWorkers {
  public:
    static constexpr std::size_t most = 1'000'000;

    /// **Throws**: `std::invalid_argument` unless `max` is between 1 and `most`.
    ThreadWorkers(Ledger& ledger, std::size_t max) : ledger_{ledger}, max_{checked(max)} {}

    /// How many places there are: of workers that run or have ended.
    [[nodiscard]] std::size_t size() const noexcept {
        return size_.load(std::memory_order_acquire);
    }

    [[nodiscard]] ThreadWorker& operator[](std::size_t index) const noexcept {
        const std::size_t block = block_of(index);
        return blocks_[block][index + 1 - (std::size_t{1} << block)];
    }

    /// How many threads there may be.
    [[nodiscard]] std::size_t max() const noexcept { return max_.load(std::memory_order_seq_cst); }
    /// **Throws**: `std::invalid_argument`, as the constructor.
    void resize(std::size_t max) { max_.store(checked(max), std::memory_order_seq_cst); }

    /// How many threads there are that have not left. Once there is one, there always is.
    [[nodiscard]] std::size_t live() const noexcept {
        return live_.load(std::memory_order_seq_cst);
    }

    /// Counts the calling worker out if there are more than there may be.
    bool leave() noexcept {
        std::size_t live = live_.load(std::memory_order_relaxed);
        while (live > max())
            if (live_.compare_exchange_weak(live, live - 1, std::memory_order_seq_cst)) return true;
        return false;
    }

    /// Starts a thread that calls `serve(worker)`, if there may be one more and `wanted()`. False if
    /// not. **Throws** `std::system_error` when it cannot be started.
    template <typename Wanted, typename Serve>
    bool start_if(Wanted wanted, Serve serve) {
        const std::lock_guard held(starting_);
        if (closed_ || live() >= max() || !wanted()) return false;
        ThreadWorker& worker = free_place();
        // The new thread joins the old one, so that nobody waits for that under the lock.
        worker.previous = std::move(worker.thread);
        worker.ended.store(false, std::memory_order_relaxed);
        live_.fetch_add(1, std::memory_order_seq_cst);
        try {
            worker.thread = start_thread([serve, &worker] {
                if (worker.previous.joinable()) worker.previous.join();
                serve(worker);
            });
        } catch (...) {
            worker.thread = std::move(worker.previous);
            worker.ended.store(true, std::memory_order_relaxed);
            live_.fetch_sub(1, std::memory_order_seq_cst);
            throw;
        }
        return true;
    }

    /// Waits for all threads to end. From now on none is started.
    void join() noexcept {
        close();
        const std::lock_guard held(joining_);
        for (std::size_t i = 0; i < size(); ++i)
            if ((*this)[i].thread.joinable()) (*this)[i].thread.join();
    }

    /// Has all threads end unattended. From now on none is started.
    void detach() noexcept {
        close();
        const std::lock_guard held(joining_);
        for (std::size_t i = 0; i < size(); ++i)
            if ((*this)[i].thread.joinable()) (*this)[i].thread.detach();
    }

  private:
    static std::size_t checked(std::size_t max) {
        // More is a negative number gone wrong.
        if (max < 1 || max > most)
            throw std::invalid_argument(
                "muster: a thread pool must have at least 1 worker, and at most " +
                std::to_string(most) + "; leave max_workers out for the number of usable CPUs");
        return max;
    }

    static std::size_t block_of(std::size_t index) noexcept {
        return static_cast<std::size_t>(std::bit_width((index + 1) / 2));
    }

    void close() noexcept {
        const std::lock_guard held(starting_);
        closed_ = true;
    }

    ThreadWorker& free_place() {
        const std::size_t index = size();
        for (std::size_t i = 0; i < index; ++i)
            if ((*this)[i].ended.load(std::memory_order_acquire)) return (*this)[i];
        const std::size_t block = block_of(index);
        if (!blocks_[block])
            blocks_[block] = std::make_unique<ThreadWorker[]>(std::size_t{1} << block);
        ThreadWorker& added = (*this)[index];
        added.index = index;
        ledger_.add(added.cell);
        size_.store(index + 1, std::memory_order_release);
        return added;
    }

    Ledger& ledger_;
    std::atomic<std::size_t> max_;
    std::atomic<std::size_t> live_{0};
    std::atomic<std::size_t> size_{0};
    std::array<std::unique_ptr<ThreadWorker[]>, std::bit_width(most)> blocks_;
    std::mutex starting_;
    bool closed_ = false;
    std::mutex joining_;
};

}  // namespace muster::detail
