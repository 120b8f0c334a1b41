// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <muster/detail/call.hpp>
#include <muster/detail/map_range.hpp>
#include <muster/future.hpp>
#include <muster/task.hpp>

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
                    const auto& element = first_[static_cast<Difference>(i)];  // Maybe a proxy.
                    std::invoke(fn, element);
                } catch (...) {
                    return fail(i);
                }
            }
    }

    using Iterator = std::ranges::iterator_t<Range>;
    using Difference = std::iter_difference_t<Iterator>;

    F& fn_;
    const Iterator first_;
};

/// How executors of this process make tasks of calls.
struct LocalCalls {
    using Owner = TaskOwner;
    using Handle = muster::Task;
    using Stats = ExecutorStats;
    template <typename F, typename... Args>
    using Result = ResultOf<F, Args...>;

    template <typename F, typename... Args>
    static auto make(TaskOwner&, F&& fn, Args&&... args) {
        return make_call(std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <typename F, typename... Args>
    static auto make_with(TaskOwner&, TaskOptions&& options, F&& fn, Args&&... args) {
        return make_call_with(std::move(options), std::forward<F>(fn), std::forward<Args>(args)...);
    }

    /// Several elements of a `map` travel in one task, and keep an outcome each.
    static constexpr bool chunks = true;

    template <typename R, typename F, typename Element>
    struct Chunk {
        F fn;
        std::vector<Element> elements;

        /// Leaves out what was not begun when it is asked to stop: nobody wants the results then.
        ChunkOutcome<R> operator()(const StopToken& stop) {
            ChunkOutcome<R> outcome;
            outcome.elements.resize(elements.size());
            const Clock::time_point begin = Clock::now();
            for (std::size_t i = 0; i < elements.size() && !stop.stop_requested(); ++i) {
                try {
                    outcome.elements[i].value.emplace(std::apply(
                        [this](auto&... parts) {
                            return detail::call_for<R>(fn, std::move(parts)...);
                        },
                        elements[i]));
                } catch (...) {
                    outcome.elements[i].error = std::current_exception();
                }
            }
            outcome.taken = Clock::now() - begin;
            return outcome;
        }
    };

    template <typename Executor, typename F, typename Range>
    static void for_each(Executor& executor, F&& fn, Range&& range) {
        using Element = const std::ranges::range_value_t<Range>&;
        if constexpr (std::ranges::random_access_range<Range> && std::ranges::sized_range<Range> &&
                      CalledAlone<std::decay_t<F>&, Element>) {
            std::decay_t<F> kept(std::forward<F>(fn));  // A function becomes a pointer to it.
            SharedLoopOf<std::decay_t<F>, Range> loop(kept, range, executor.max_workers());
            loop.run(executor);
        } else {
            for ([[maybe_unused]] auto&& done : executor.map(fn, range)) {
            }
        }
    }
};

/// The same for executors with an engine of their own behind them.
template <typename Engine>
struct CallsOn : LocalCalls {
    using Owner = Engine;
};

/// `count` as a number of workers. Throws what an option of 0 throws.
template <std::integral Count>
std::size_t checked_count(Count count) {
    return count < Count{1} ? 0 : static_cast<std::size_t>(count);
}

}  // namespace muster::detail
