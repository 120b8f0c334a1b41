// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <muster/detail/call.hpp>
#include <muster/detail/map_range.hpp>
#include <muster/detail/shared_loop.hpp>
#include <muster/task.hpp>

namespace muster::detail {

/// How executors of this process make tasks of calls.
struct LocalCalls {
    using Owner = TaskOwner;
    using Handle = muster::Task;
    using Stats = ExecutorStats;
    template <typename F, typename... Args>
    using Result = ResultOf<F, Args...>;

    template <Results results = Results::kept, typename F, typename... Args>
    static auto make(TaskOwner&, F&& fn, Args&&... args) {
        return make_call<results>(std::forward<F>(fn), std::forward<Args>(args)...);
    }
    template <Results results = Results::kept, typename F, typename... Args>
    static auto make_with(TaskOwner&, TaskOptions&& options, F&& fn, Args&&... args) {
        return make_call_with<results>(std::move(options), std::forward<F>(fn),
                                       std::forward<Args>(args)...);
    }

    /// Its tasks may refer to what is in this process.
    static constexpr bool shares_memory = true;

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
            make_map<LocalCalls, Results::dropped>(executor, {}, fn, range).finish();
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
