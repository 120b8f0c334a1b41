// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include <muster/detail/wait_set.hpp>
#include <muster/future.hpp>

namespace muster {

/// When `wait` returns.
enum class ReturnWhen {
    first_completed,  ///< When one of the futures is done.
    first_exception,  ///< When one has failed, or all are done. Cancelled is not failed.
    all_completed     ///< When all are done.
};

/// What `wait` found: each future once, in the order given.
template <typename F>
struct WaitResult {
    std::vector<F> done;      ///< With a value, an exception, or cancelled.
    std::vector<F> not_done;  ///< Those that were pending or running when it returned.
};

/// A range of `Future<T>`, or of `AnyFuture` for futures of different types.
template <typename Range>
concept FutureRange = std::ranges::input_range<Range> &&
                      std::derived_from<std::ranges::range_value_t<Range>, AnyFuture>;

namespace detail {

/// The futures of a range, each once, in order.
template <typename Range>
auto distinct(Range&& futures) {
    std::vector<std::ranges::range_value_t<Range>> unique;
    std::unordered_set<const void*> seen;
    for (auto&& future : futures)
        if (seen.insert(&FutureAccess::state(future)).second) unique.push_back(future);
    return unique;
}

template <typename F>
std::vector<Ref<StateBase>> states_of(const std::vector<F>& futures) {
    std::vector<Ref<StateBase>> states;
    states.reserve(futures.size());
    for (const F& future : futures)
        states.push_back(Ref<StateBase>::share(&FutureAccess::state(future)));
    return states;
}

template <typename Range>
auto wait_for_futures(Range&& futures, ReturnWhen return_when, const Deadline& deadline) {
    using F = std::ranges::range_value_t<Range>;
    const std::vector<F> all = distinct(std::forward<Range>(futures));
    const std::size_t wanted =
        return_when == ReturnWhen::first_completed && !all.empty() ? 1 : all.size();
    WaitSet(states_of(all)).wait(wanted, return_when == ReturnWhen::first_exception, deadline);
    WaitResult<F> result;
    for (const F& future : all) (future.done() ? result.done : result.not_done).push_back(future);
    return result;
}

}  // namespace detail

/// Waits until the futures are done, and says which are. They may belong to different executors.
///
///     auto [done, not_done] = muster::wait(futures, muster::ReturnWhen::first_completed);
///
/// **Throws**: `InvalidStateError` for an empty future, never what a task threw.
/// **Blocks**. In a task of a thread pool, tasks of that pool that have not begun are run here.
template <FutureRange Range>
auto wait(Range&& futures, ReturnWhen return_when = ReturnWhen::all_completed) {
    return detail::wait_for_futures(std::forward<Range>(futures), return_when, std::nullopt);
}

/// As above, for at most `timeout`; zero or less only looks.
template <FutureRange Range, typename Rep, typename Period>
auto wait(Range&& futures, ReturnWhen return_when, std::chrono::duration<Rep, Period> timeout) {
    return detail::wait_for_futures(std::forward<Range>(futures), return_when,
                                    detail::deadline_after(timeout));
}
template <FutureRange Range, typename Rep, typename Period>
auto wait(Range&& futures, std::chrono::duration<Rep, Period> timeout) {
    return wait(std::forward<Range>(futures), ReturnWhen::all_completed, timeout);
}

/// The futures given to `as_completed`, in the order in which they get done. An input range: it is
/// gone through once.
template <typename F>
class CompletionRange {
  public:
    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using value_type = F;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        const F& operator*() const { return *range_->current_; }
        const F* operator->() const { return &*range_->current_; }
        iterator& operator++() {
            range_->advance();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& here, std::default_sentinel_t) {
            return here.at_end();
        }

      private:
        friend class CompletionRange;
        explicit iterator(CompletionRange& range) : range_{&range} {}
        [[nodiscard]] bool at_end() const { return !range_->current_; }
        CompletionRange* range_ = nullptr;
    };

    CompletionRange(std::vector<F> futures, detail::Deadline deadline)
        : set_{std::make_unique<detail::WaitSet>(detail::states_of(futures))},
          futures_{std::move(futures)},
          deadline_{deadline} {}

    /// Waits for the first. **Throws**: `TimeoutError` when the time is up.
    [[nodiscard]] iterator begin() {
        if (!begun_) {
            begun_ = true;
            advance();
        }
        return iterator(*this);
    }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  private:
    void advance() {
        current_.reset();
        if (yielded_ == futures_.size()) return;
        if (!set_->wait(yielded_ + 1, false, deadline_))
            throw TimeoutError(
                "muster: " + std::to_string(futures_.size() - yielded_) + " (of " +
                std::to_string(futures_.size()) +
                ") futures unfinished when the time given to as_completed was up; they go "
                "on: wait for them again, or cancel() what is not wanted any more");
        std::size_t index = 0;
        if (!set_->pop_done(index)) detail::StateBase::throw_orphaned();
        ++yielded_;
        // Moved out, so that the range does not keep the results alive that were gone through.
        current_ = std::exchange(futures_[index], F{});
    }

    std::unique_ptr<detail::WaitSet> set_;
    std::vector<F> futures_;
    detail::Deadline deadline_;
    std::size_t yielded_ = 0;
    bool begun_ = false;
    std::optional<F> current_;
};

/// The futures in the order in which they get done, each once; those done already come first.
///
///     for (const auto& done : muster::as_completed(futures)) std::cout << done.result() << '\n';
///
/// **Blocks** and **throws** while it is gone through: `TimeoutError`, when a timeout was given,
/// counts from this call.
template <FutureRange Range>
auto as_completed(Range&& futures) {
    using F = std::ranges::range_value_t<Range>;
    return CompletionRange<F>(detail::distinct(std::forward<Range>(futures)), std::nullopt);
}
template <FutureRange Range, typename Rep, typename Period>
auto as_completed(Range&& futures, std::chrono::duration<Rep, Period> timeout) {
    using F = std::ranges::range_value_t<Range>;
    const detail::Deadline deadline = detail::deadline_after(timeout);
    return CompletionRange<F>(detail::distinct(std::forward<Range>(futures)), deadline);
}

}  // namespace muster
