// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <mutex>
#include <ranges>
#include <type_traits>
#include <vector>

#include <muster/detail/spin.hpp>
#include <muster/future.hpp>

namespace muster::detail {

/// A `for_each` whose workers share the range: each takes the next few elements when it is free.
class SharedLoop {
  public:
    SharedLoop(std::size_t size, std::size_t workers)
        : size_{size}, workers_{workers}, end_{size} {}
    SharedLoop(const SharedLoop&) = delete;
    SharedLoop& operator=(const SharedLoop&) = delete;

    template <typename Executor>
    void run(Executor& executor) {
        // Joined in every case: the tasks refer to this object and to the caller's range.
        struct Runners {
            std::vector<Future<void>> futures;
            SharedLoop& loop;
            ~Runners() {
                loop.stop();
                for (const Future<void>& future : futures) future.cancel() || (future.wait(), true);
            }
        } runners{{}, *this};
        const std::size_t count = std::min(workers_, size_);
        runners.futures.reserve(count);
        for (std::size_t i = 0; i < count; ++i)
            runners.futures.push_back(executor.submit([this] { work(); }));
        for (const Future<void>& future : runners.futures) future.wait();
        // A runner that did not run at all (the pool is broken, or was told to cancel) says why.
        if (!first_error_ && next_.load() < size_)
            for (const Future<void>& future : runners.futures) (void)future.result();
        if (first_error_) std::rethrow_exception(first_error_);
    }

  protected:
    ~SharedLoop() = default;

    struct Piece {
        std::size_t begin;
        std::size_t end;
    };
    /// Large pieces while much is left, single elements at the end, so that no worker is left alone
    /// with a large one. Empty when nothing is left.
    Piece next_piece() noexcept {
        std::size_t begin = next_.load(std::memory_order_relaxed);
        std::size_t end = 0;
        do {
            if (!wanted(begin)) return {size_, size_};
            end = begin + std::clamp<std::size_t>((size_ - begin) / (8 * workers_), 1, 1024);
        } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
        return {begin, end};
    }

    /// False for what comes after an element that failed, also in pieces that were taken before.
    [[nodiscard]] bool wanted(std::size_t i) const noexcept {
        return i < end_.load(std::memory_order_relaxed);
    }

    /// Of all errors the one of the first element counts.
    void fail(std::size_t i) noexcept {
        const std::lock_guard held(error_lock_);
        if (!wanted(i)) return;
        first_error_ = std::current_exception();
        end_.store(i, std::memory_order_relaxed);
    }

  private:
    /// Calls the callable for one piece after another.
    virtual void work() = 0;

    void stop() noexcept { end_.store(0, std::memory_order_relaxed); }

    const std::size_t size_;
    const std::size_t workers_;
    std::atomic<std::size_t> next_{0};
    std::atomic<std::size_t> end_;  // No element from here on is begun.
    SpinLock error_lock_;
    std::exception_ptr first_error_;
};

template <typename F, typename Range>
class SharedLoopOf final : public SharedLoop {
  public:
    SharedLoopOf(F& fn, Range& range, std::size_t workers)
        : SharedLoop(static_cast<std::size_t>(std::ranges::size(range)), workers),
          fn_{fn},
          first_{std::ranges::begin(range)} {}

  private:
    void work() override {
        F fn(fn_);
        for (Piece piece = next_piece(); piece.begin != piece.end; piece = next_piece())
            for (std::size_t i = piece.begin; i < piece.end && wanted(i); ++i) {
                try {
                    Element element(first_[static_cast<Difference>(i)]);
                    std::invoke(fn, element);
                } catch (...) {
                    return fail(i);
                }
            }
    }

    using Iterator = std::ranges::iterator_t<Range>;
    using Difference = std::iter_difference_t<Iterator>;
    using Value = std::ranges::range_value_t<Range>;
    // Of what stands for an element, as in a std::vector<bool>, a copy: it could change the element.
    using Element = std::conditional_t<std::is_reference_v<std::ranges::range_reference_t<Range>>,
                                       const Value&, const Value>;

    F& fn_;
    const Iterator first_;
};

}  // namespace muster::detail
