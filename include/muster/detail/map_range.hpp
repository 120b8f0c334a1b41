// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <muster/detail/call.hpp>
#include <muster/future.hpp>
#include <muster/task_options.hpp>

namespace muster::detail {

/// Goes through several ranges side by side, an element of each at a time, until one ends.
/// Lvalue ranges are referred to, others kept.
template <typename... Ranges>
class ZipSource {
  public:
    using Element = std::tuple<std::ranges::range_value_t<Ranges>...>;

    explicit ZipSource(Ranges&&... ranges) : ranges_(std::forward<Ranges>(ranges)...) {}

    /// The next element; nothing when a range has ended.
    std::optional<Element> next() { return next(std::index_sequence_for<Ranges...>{}); }
    /// Takes nothing more.
    void end() noexcept { ended_ = true; }
    [[nodiscard]] bool ended() const noexcept { return ended_; }

  private:
    template <std::size_t... i>
    std::optional<Element> next(std::index_sequence<i...>) {
        if (ended_) return std::nullopt;
        if (!iterators_)
            iterators_.emplace(std::ranges::begin(std::get<i>(ranges_))...);
        else
            (++std::get<i>(*iterators_), ...);
        ended_ = ((std::get<i>(*iterators_) == std::ranges::end(std::get<i>(ranges_))) || ...);
        if (ended_) return std::nullopt;
        return std::optional<Element>(std::in_place, *std::get<i>(*iterators_)...);
    }

    std::tuple<Ranges...> ranges_;  // References to lvalues.
    std::optional<std::tuple<std::ranges::iterator_t<Ranges>...>> iterators_;
    bool ended_ = false;
};

/// Elements as tasks of their own.
template <typename Executor, typename R, typename F, typename Element>
class ElementFeed {
  public:
    ElementFeed(Executor& executor, const MapOptions&, F fn)
        : executor_{executor}, fn_(std::move(fn)) {}

    void push(Element element) {
        futures_.push_back(std::apply(
            [this](auto&&... parts) { return executor_.submit(fn_, std::move(parts)...); },
            std::move(element)));
    }
    void flush() {}
    [[nodiscard]] std::size_t batch() const noexcept { return 1; }
    [[nodiscard]] std::size_t waiting() const noexcept { return futures_.size(); }
    /// How many elements keep all workers busy while the consumer looks at one.
    [[nodiscard]] std::size_t ahead() const { return 4 * executor_.max_workers(); }

    /// False when the deadline passed.
    bool wait_front(const Deadline& deadline) {
        return FutureAccess::state(futures_.front()).wait(deadline);
    }
    Stored<R> pop_front() {
        Future<R> front = std::move(futures_.front());
        futures_.pop_front();
        if constexpr (std::is_void_v<R>)
            return std::move(front).result(), Stored<R>{};
        else
            return std::move(front).result();
    }
    void cancel() noexcept {
        for (const Future<R>& future : futures_) future.cancel();
        futures_.clear();
    }

  private:
    Executor& executor_;
    F fn_;
    std::deque<Future<R>> futures_;
};

/// Several elements to a task. How many is measured, unless it was said: as many as take 200 us.
template <typename Calls, typename Executor, typename R, typename F, typename Element>
class ChunkFeed {
    using Chunk = typename Calls::template Chunk<R, F, Element>;
    using Outcome = ResultOf<Chunk>;

  public:
    ChunkFeed(Executor& executor, const MapOptions& options, F fn)
        : executor_{executor},
          fn_(std::move(fn)),
          chunksize_{std::max<std::size_t>(options.chunksize, 1)},
          measured_{options.chunksize == 0} {
        if (!options.buffersize) return;
        chunksize_ = std::min(chunksize_, *options.buffersize);
        largest_ = std::clamp<std::size_t>(*options.buffersize / (2 * executor.max_workers()), 1,
                                           largest_);
    }

    void push(Element element) {
        filling_.push_back(std::move(element));
        ++waiting_;
        if (filling_.size() >= chunksize_) flush();
    }
    void flush() {
        if (filling_.empty()) return;
        const std::size_t count = filling_.size();
        try {
            futures_.push_back(executor_.submit(Chunk{fn_, std::exchange(filling_, {})}));
        } catch (...) {
            waiting_ -= count;
            throw;
        }
    }
    [[nodiscard]] std::size_t batch() const noexcept { return chunksize_; }
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }
    [[nodiscard]] std::size_t ahead() const { return 4 * executor_.max_workers() * chunksize_; }

    bool wait_front(const Deadline& deadline) {
        if (place_ < front_.elements.size()) return true;
        if (futures_.empty()) flush();
        if (!FutureAccess::state(futures_.front()).wait(deadline)) return false;
        Future<Outcome> front = std::move(futures_.front());
        futures_.pop_front();
        front_ = std::move(front).result();
        place_ = 0;
        if (measured_) measure();
        return true;
    }
    Stored<R> pop_front() {
        --waiting_;
        ElementOutcome<R>& outcome = front_.elements[place_++];
        if (outcome.error) std::rethrow_exception(outcome.error);
        return std::move(*outcome.value);
    }
    void cancel() noexcept {
        for (const Future<Outcome>& future : futures_)
            if (!future.cancel()) future.request_stop();
        futures_.clear();
        filling_.clear();
        waiting_ = 0;
    }

  private:
    void measure() {
        using namespace std::chrono_literals;
        const auto count = static_cast<Clock::rep>(front_.elements.size());
        const auto each = std::max<Clock::duration>(front_.taken / count, 1ns);
        // Doubles at most, so that one quick element does not make a chunk of slow ones.
        const auto wanted = static_cast<std::size_t>(Clock::duration(200us) / each);
        chunksize_ = std::clamp<std::size_t>(wanted, 1, std::min(largest_, 2 * chunksize_));
    }

    Executor& executor_;
    F fn_;
    std::size_t chunksize_;
    bool measured_;
    std::size_t largest_ = 1024;
    std::vector<Element> filling_;
    std::deque<Future<Outcome>> futures_;
    ChunkOutcome<R> front_;
    std::size_t place_ = 0;
    std::size_t waiting_ = 0;
};

/// What `map` returns: the results in input order, an input range that is gone through once.
/// Dropping it cancels what has not begun, without waiting.
template <typename Source, typename Feed, typename R>
class MapRange {
    using Value = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

    // On the heap, so that iterators stay valid when the range is moved.
    struct Run {
        Source source;
        Feed feed;
        Deadline deadline;
        std::optional<std::size_t> buffersize;
        std::optional<Value> current{};
        std::exception_ptr refusal{};

        Run(Source from, Feed to, Deadline until, std::optional<std::size_t> ahead)
            : source(std::move(from)), feed(std::move(to)), deadline(until), buffersize(ahead) {}
        Run(const Run&) = delete;
        Run& operator=(const Run&) = delete;
        ~Run() { feed.cancel(); }

        /// Submits until so many elements are ahead, beside those `asked` for.
        void refill(std::size_t asked) {
            while (feed.waiting() + feed.batch() <= asked + buffersize.value_or(feed.ahead())) {
                for (std::size_t left = feed.batch(); left > 0; --left) {
                    auto element = source.next();
                    if (!element) {
                        feed.flush();
                        return;
                    }
                    feed.push(std::move(*element));
                }
            }
        }

        /// What was accepted before a shutdown has results; the error comes after them.
        void refill_or_end() {
            if (source.ended()) return;
            try {
                refill(1);
            } catch (const ShutdownError&) {
                refusal = std::current_exception();
                source.end();
            }
        }

        void advance() {
            current.reset();
            try {
                refill_or_end();
                if (feed.waiting() == 0) {
                    if (refusal) std::rethrow_exception(std::exchange(refusal, nullptr));
                    return;
                }
                if (!feed.wait_front(deadline))
                    throw TimeoutError(
                        "muster: the time given to map was up before the next result was there; "
                        "what had not begun was cancelled");
                if constexpr (std::is_void_v<R>)
                    (void)feed.pop_front(), current.emplace();
                else
                    current.emplace(feed.pop_front());
            } catch (...) {
                feed.cancel();
                source.end();
                throw;
            }
        }
    };

  public:
    class iterator {
      public:
        using iterator_concept = std::input_iterator_tag;
        using value_type = Value;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        Value& operator*() const { return *run_->current; }
        Value* operator->() const { return &*run_->current; }
        iterator& operator++() {
            run_->advance();
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator& here, std::default_sentinel_t) {
            return !here.run_->current;
        }

      private:
        friend class MapRange;
        explicit iterator(Run& run) : run_{&run} {}
        Run* run_ = nullptr;
    };

    MapRange(Source source, Feed feed, const MapOptions& options)
        : run_{std::make_unique<Run>(
              std::move(source), std::move(feed),
              options.timeout ? deadline_after(*options.timeout) : std::nullopt,
              options.buffersize)} {
        run_->refill(0);
    }

    /// Waits for the first result. **Throws** what its element threw, and `TimeoutError`.
    [[nodiscard]] iterator begin() {
        if (!std::exchange(begun_, true)) run_->advance();
        return iterator(*run_);
    }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  private:
    std::unique_ptr<Run> run_;
    bool begun_ = false;
};

template <typename Calls, typename Executor, typename F, typename... Ranges>
auto make_map(Executor& executor, const MapOptions& options, F&& fn, Ranges&&... ranges) {
    using Source = ZipSource<Ranges...>;
    using Fn = std::decay_t<F>;
    using Plan = CallPlan<Fn, std::ranges::range_value_t<Ranges>...>;
    static_assert(Plan::possible,
                  "muster: map's fn cannot be called with one element of each range");
    static_assert(std::is_copy_constructible_v<Fn>,
                  "muster: map calls fn many times, in several workers: it must be copyable");
    using R = typename Plan::Result;
    if (options.buffersize == std::size_t{0})
        throw std::invalid_argument(
            "muster: map's buffersize must be at least 1: nothing could be computed ahead");
    const auto make = [&]<typename Feed>(std::type_identity<Feed>) {
        return MapRange<Source, Feed, R>(Source(std::forward<Ranges>(ranges)...),
                                         Feed(executor, options, std::forward<F>(fn)), options);
    };
    // A task that is asked to stop is one element, so those who take a token travel alone.
    if constexpr (Calls::chunks && Plan::plain)
        return make(
            std::type_identity<ChunkFeed<Calls, Executor, R, Fn, typename Source::Element>>{});
    else
        return make(std::type_identity<ElementFeed<Executor, R, Fn, typename Source::Element>>{});
}

}  // namespace muster::detail
