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
#include <muster/detail/zip_source.hpp>
#include <muster/future.hpp>
#include <muster/task_options.hpp>

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

/// A `map` under way: what was submitted, in order, and what is needed to submit more.
///
/// Only the last classes below know the callable and the ranges, because every call of `map` compiles
/// those once more; the rest depends on nothing but the type of the results.
template <typename R>
class MapRun {
  public:
    using Value = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

    explicit MapRun(const MapOptions& options)
        : deadline_{deadline_after(options.timeout)}, buffersize_{options.buffersize} {}
    MapRun(const MapRun&) = delete;
    MapRun& operator=(const MapRun&) = delete;
    virtual ~MapRun() = default;

    /// Submits until so many elements are ahead, beside those `asked` for. What ends the input, be
    /// it the range or the executor, is thrown when the results of what was before have been taken.
    void refill(std::size_t asked) {
        // Four tasks a worker keep all busy while the consumer looks at one.
        const auto ahead = [this] { return buffersize_.value_or(4 * workers() * batch_); };
        try {
            while (!ended_ && waiting_ + batch_ <= asked + ahead()) submit_next();
        } catch (...) {
            if (error_) return;  // The time was up before that.
            ended_ = true;
            if (waiting_ == 0) throw;
            error_ = std::current_exception();
        }
    }

    /// Makes the next result `current`; none when all have been.
    void advance() {
        current.reset();
        try {
            refill(1);
            if (waiting_ == 0) {
                if (error_) std::rethrow_exception(error_);
                return;
            }
            if (!wait_front(deadline_)) throw late();
            --waiting_;
            if constexpr (std::is_void_v<R>)
                (void)pop_front(), current.emplace();
            else
                current.emplace(pop_front());
        } catch (...) {
            cancel();
            ended_ = true;
            waiting_ = 0;
            error_ = nullptr;
            throw;
        }
    }

    /// Takes all results. Returns, or throws, when no element runs any more.
    void finish() {
        joins_ = true;
        do advance();
        while (current);
    }

    std::optional<Value> current;

  protected:
    /// Submits the next `batch_` elements and counts them as waiting; notes the end of the input.
    virtual void submit_next() = 0;
    [[nodiscard]] virtual std::size_t workers() const = 0;
    /// False when the deadline passed.
    virtual bool wait_front(const Deadline& deadline) = 0;
    virtual Stored<R> pop_front() = 0;
    /// Has nobody work for what is submitted, as far as that is possible.
    virtual void cancel() noexcept = 0;

    /// There was no room for the next elements in the time given.
    void give_up() {
        ended_ = true;
        error_ = std::make_exception_ptr(late());
    }

    /// Lets go of what was cancelled; not before it has ended, if it is waited for.
    template <typename T>
    void drop(std::deque<Future<T>>& futures) noexcept {
        if (joins_)
            for (const Future<T>& future : futures)
                (void)FutureAccess::state(future).wait_if_it_comes(std::nullopt);
        futures.clear();
    }

    std::size_t batch_ = 1;    ///< Elements to a task.
    std::size_t waiting_ = 0;  ///< Elements submitted, and not yet taken.
    bool ended_ = false;       ///< Nothing more is taken from the input.
    const Deadline deadline_;

  private:
    static TimeoutError late() {
        return TimeoutError(
            "muster: the time given to map was up before the next result was there; what had not "
            "begun was cancelled; give it a longer .timeout");
    }

    const std::optional<std::size_t> buffersize_;
    std::exception_ptr error_;  ///< What ended the input.
    bool joins_ = false;        ///< What runs when an error is thrown is waited for.
};

/// Elements as tasks of their own.
template <typename R>
class ElementRun : public MapRun<R> {
  public:
    using MapRun<R>::MapRun;
    ~ElementRun() override { ElementRun::cancel(); }

  protected:
    void keep(std::optional<Future<R>> future) {
        if (!future) return this->give_up();
        futures_.push_back(std::move(*future));
        ++this->waiting_;
    }
    bool wait_front(const Deadline& deadline) override {
        return FutureAccess::state(futures_.front()).wait_if_it_comes(deadline);
    }
    Stored<R> pop_front() override {
        Future<R> front = std::move(futures_.front());
        futures_.pop_front();
        if constexpr (std::is_void_v<R>)
            return std::move(front).result(), Stored<R>{};
        else
            return std::move(front).result();
    }
    void cancel() noexcept override {
        for (const Future<R>& future : futures_) future.cancel();
        this->drop(futures_);
    }

  private:
    std::deque<Future<R>> futures_;
};

/// Several elements to a task. How many is measured, unless it was said: as many as take 200 us.
template <typename R>
class ChunkRun : public MapRun<R> {
  public:
    ChunkRun(const MapOptions& options, std::size_t workers)
        : MapRun<R>(options), measured_{options.chunksize == 0}, first_workers_{workers} {
        this->batch_ = std::max<std::size_t>(options.chunksize, 1);
        if (!options.buffersize) return;
        this->batch_ = std::min(this->batch_, *options.buffersize);
        largest_ = std::clamp<std::size_t>(*options.buffersize / (2 * workers), 1, largest_);
    }
    ~ChunkRun() override { ChunkRun::cancel(); }

  protected:
    void keep(std::optional<Future<ChunkOutcome<R>>> future, std::size_t elements) {
        if (!future) return this->give_up();
        futures_.push_back(std::move(*future));
        this->waiting_ += elements;
    }
    bool wait_front(const Deadline& deadline) override {
        if (place_ < front_.elements.size()) return true;
        if (!FutureAccess::state(futures_.front()).wait_if_it_comes(deadline)) return false;
        Future<ChunkOutcome<R>> front = std::move(futures_.front());
        futures_.pop_front();
        front_ = std::move(front).result();
        place_ = 0;
        if (measured_) measure();
        return true;
    }
    Stored<R> pop_front() override {
        ElementOutcome<R>& outcome = front_.elements[place_++];
        ++taken_;
        if (outcome.error) std::rethrow_exception(outcome.error);
        return std::move(*outcome.value);
    }
    void cancel() noexcept override {
        for (const Future<ChunkOutcome<R>>& future : futures_)
            if (!future.cancel()) future.request_stop();
        this->drop(futures_);
    }

  private:
    void measure() {
        using namespace std::chrono_literals;
        const auto count = static_cast<Clock::rep>(front_.elements.size());
        const auto each = std::max<Clock::duration>(front_.taken / count, 1ns);
        // Doubles at most, so that one quick element does not make a chunk of slow ones.
        const auto wanted = static_cast<std::size_t>(Clock::duration(200us) / each);
        // What is ahead stays below what was asked for so far, or four elements a worker.
        const std::size_t earned = taken_ / (4 * first_workers_);
        const std::size_t most = std::min({largest_, 2 * this->batch_, earned});
        this->batch_ = std::clamp<std::size_t>(wanted, 1, std::max<std::size_t>(most, 1));
    }

    const bool measured_;
    const std::size_t first_workers_;  ///< At the beginning; the executor may be gone by now.
    std::size_t largest_ = 1024;
    std::deque<Future<ChunkOutcome<R>>> futures_;
    ChunkOutcome<R> front_;
    std::size_t place_ = 0;
    std::size_t taken_ = 0;  ///< Elements that the consumer asked for so far.
};

/// Where the elements come from, and what becomes of them. A base before the others, so that it
/// outlives the results and what waits: they may refer to what the source owns.
template <typename Executor, typename F, typename Source>
struct MapInput {
    Executor& executor;
    F fn;
    Source source;

    template <Results results, typename... Args>
    auto submit_before(const Deadline& deadline, Args&&... args) {
        return executor.template submit_before<results>(deadline, std::forward<Args>(args)...);
    }
};

template <typename Executor, typename R, typename F, typename Source>
class ElementMap final : MapInput<Executor, F, Source>, public ElementRun<R> {
  public:
    ElementMap(MapInput<Executor, F, Source> input, const MapOptions& options)
        : MapInput<Executor, F, Source>(std::move(input)), ElementRun<R>(options) {}

  private:
    static constexpr Results results = std::is_void_v<R> ? Results::dropped : Results::kept;

    void submit_next() override {
        auto element = this->source.next();
        this->ended_ = !element;
        if (element)
            std::apply(
                [this](auto&... parts) {
                    this->keep(this->template submit_before<results>(this->deadline_, this->fn,
                                                                     std::move(parts)...));
                },
                *element);
    }
    [[nodiscard]] std::size_t workers() const override { return this->executor.max_workers(); }
};

template <typename Executor, typename Chunk, typename R, typename F, typename Source>
class ChunkMap final : MapInput<Executor, F, Source>, public ChunkRun<R> {
  public:
    ChunkMap(MapInput<Executor, F, Source> input, const MapOptions& options)
        : MapInput<Executor, F, Source>(std::move(input)),
          ChunkRun<R>(options, this->executor.max_workers()) {}

  private:
    using Elements = std::vector<typename Source::Element>;

    void submit_next() override {
        Elements elements;
        try {
            while (!this->ended_ && elements.size() < this->batch_) {
                auto element = this->source.next();
                this->ended_ = !element;
                if (element) elements.push_back(std::move(*element));
            }
        } catch (...) {
            submit(std::move(elements));
            throw;
        }
        submit(std::move(elements));
    }
    void submit(Elements elements) {
        const std::size_t count = elements.size();
        if (count != 0)
            this->keep(this->template submit_before<Results::kept>(
                           this->deadline_, Chunk{this->fn, std::move(elements)}),
                       count);
    }
    [[nodiscard]] std::size_t workers() const override { return this->executor.max_workers(); }
};

/// What `map` returns: the results in input order, an input range that is gone through once.
/// Dropping it cancels what has not begun, without waiting.
template <typename R>
class MapRange {
    using Value = typename MapRun<R>::Value;

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
        explicit iterator(MapRun<R>& run) : run_{&run} {}
        MapRun<R>* run_ = nullptr;
    };

    explicit MapRange(std::unique_ptr<MapRun<R>> run) : run_{std::move(run)} { run_->refill(0); }

    /// Waits for the first result. **Throws** what its element threw, and `TimeoutError`.
    [[nodiscard]] iterator begin() {
        if (!std::exchange(begun_, true)) run_->advance();
        return iterator(*run_);
    }
    [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

    /// Waits for all results, instead of going through them. **Throws** as that does, when no element
    /// runs any more.
    void finish() { run_->finish(); }

  private:
    std::unique_ptr<MapRun<R>> run_;  // Where iterators find it when the range has moved.
    bool begun_ = false;
};

template <typename Calls, Results results, typename Executor, typename F, typename... Ranges>
auto make_map(Executor& executor, const MapOptions& options, F&& fn, Ranges&&... ranges) {
    using Source = ZipSource<Ranges...>;
    using Fn = std::decay_t<F>;
    using Plan = CallPlanWith<results, Fn, std::ranges::range_value_t<Ranges>...>;
    static_assert(Plan::possible,
                  "muster: map's fn cannot be called with one element of each range");
    static_assert(std::is_copy_constructible_v<Fn>,
                  "muster: map calls fn many times, in several workers: it must be copyable");
    using R = typename Plan::Result;
    if (options.buffersize == std::size_t{0})
        throw std::invalid_argument(
            "muster: map's buffersize must be at least 1: nothing could be computed ahead");
    const auto make = [&]<typename Run>(std::type_identity<Run>) {
        return MapRange<R>(std::make_unique<Run>(
            MapInput<Executor, Fn, Source>{executor, std::forward<F>(fn),
                                           Source(std::forward<Ranges>(ranges)...)},
            options));
    };
    // A task that is asked to stop is one element, so those who take a token travel alone.
    if constexpr (Calls::chunks && !Plan::with_token) {
        using Chunk = typename Calls::template Chunk<R, Fn, typename Source::Element>;
        return make(std::type_identity<ChunkMap<Executor, Chunk, R, Fn, Source>>{});
    } else {
        return make(std::type_identity<ElementMap<Executor, R, Fn, Source>>{});
    }
}

}  // namespace muster::detail
