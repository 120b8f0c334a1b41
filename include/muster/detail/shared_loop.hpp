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
    SharedLoop(std::size_t size, std::size_t workers) : size_{size}, workers_{workers} {}
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
        if (next_.load() < size_ || first_error_)
            for (const Future<void>& future : runners.futures)
                if (!first_error_) (void)future.result();
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
            if (begin >= size_) return {size_, size_};
            end = begin + std::clamp<std::size_t>((size_ - begin) / (8 * workers_), 1, 1024);
        } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
        return {begin, end};
    }

    /// Of all errors the one of the first element counts.
    void fail(std::size_t i) noexcept {
        const std::lock_guard held(error_lock_);
        if (!first_error_ || i < first_error_index_) {
            first_error_ = std::current_exception();
            first_error_index_ = i;
        }
        stop();
    }

  private:
    /// Calls the callable for one piece after another.
    virtual void work() = 0;

    void stop() noexcept { next_.store(size_, std::memory_order_relaxed); }

    const std::size_t size_;
    const std::size_t workers_;
    std::atomic<std::size_t> next_{0};
    SpinLock error_lock_;
    std::exception_ptr first_error_;
    std::size_t first_error_index_ = 0;
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
            for (std::size_t i = piece.begin; i < piece.end; ++i) {
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
