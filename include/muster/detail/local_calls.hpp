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
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <muster/detail/call.hpp>
#include <muster/future.hpp>
#include <muster/task.hpp>

namespace muster::detail {

/// What became of one element of a chunk.
template <typename R>
struct ElementOutcome {
    std::optional<Stored<R>> value;
    std::exception_ptr error;
};

/// The outcomes of a chunk, and how long it took.
template <typename R>
struct ChunkOutcome {
    std::vector<ElementOutcome<R>> elements;
    Clock::duration taken{};
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
                    if constexpr (std::is_void_v<R>) {
                        std::apply(fn, std::move(elements[i]));
                        outcome.elements[i].value.emplace();
                    } else {
                        outcome.elements[i].value.emplace(std::apply(fn, std::move(elements[i])));
                    }
                } catch (...) {
                    outcome.elements[i].error = std::current_exception();
                }
            }
            outcome.taken = Clock::now() - begin;
            return outcome;
        }
    };

    /// Workers share the range: each takes the next few elements when it is free.
    template <typename Executor, typename F, typename Range>
    static void for_each(Executor& executor, F&& fn, Range&& range) {
        if constexpr (std::ranges::random_access_range<Range> && std::ranges::sized_range<Range>) {
            std::decay_t<F> kept(std::forward<F>(fn));  // A function becomes a pointer to it.
            SharedLoop<std::decay_t<F>, Range> loop(kept, range, executor.max_workers());
            loop.run(executor);
        } else {
            for ([[maybe_unused]] auto&& done : executor.map(fn, range)) {
            }
        }
    }

  private:
    template <typename F, typename Range>
    class SharedLoop {
      public:
        SharedLoop(F& fn, Range& range, std::size_t workers)
            : fn_{fn},
              first_{std::ranges::begin(range)},
              size_{static_cast<std::size_t>(std::ranges::size(range))},
              workers_{workers} {}

        template <typename Executor>
        void run(Executor& executor) {
            // Joined in every case: the tasks refer to this object and to the caller's range.
            struct Runners {
                std::vector<Future<void>> futures;
                SharedLoop& loop;
                ~Runners() {
                    loop.stop();
                    for (const Future<void>& future : futures)
                        future.cancel() || (future.wait(), true);
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

      private:
        void stop() noexcept { next_.store(size_, std::memory_order_relaxed); }

        void work() {
            F fn(fn_);
            for (;;) {
                // Large pieces while much is left, single elements at the end, so that no worker
                // is left alone with a large one.
                std::size_t begin = next_.load(std::memory_order_relaxed);
                std::size_t end = begin;
                do {
                    if (begin >= size_) return;
                    end =
                        begin + std::clamp<std::size_t>((size_ - begin) / (8 * workers_), 1, 1024);
                } while (!next_.compare_exchange_weak(begin, end, std::memory_order_relaxed));
                for (std::size_t i = begin; i < end; ++i)
                    if (!call(fn, i)) return;
            }
        }

        bool call(F& fn, std::size_t i) {
            try {
                const auto& element = first_[static_cast<Difference>(i)];  // Which may be a proxy.
                std::invoke(fn, element);
                return true;
            } catch (...) {
                const std::lock_guard held(error_lock_);
                if (!first_error_ || i < first_error_index_) {
                    first_error_ = std::current_exception();
                    first_error_index_ = i;
                }
                stop();
                return false;
            }
        }

        using Iterator = std::ranges::iterator_t<Range>;
        using Difference = std::iter_difference_t<Iterator>;

        F& fn_;
        Iterator first_;
        std::size_t size_;
        std::size_t workers_;
        std::atomic<std::size_t> next_{0};
        SpinLock error_lock_;
        std::exception_ptr first_error_;
        std::size_t first_error_index_ = 0;
    };
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
