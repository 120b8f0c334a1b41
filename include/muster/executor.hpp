// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/local_calls.hpp>
#include <muster/detail/map_range.hpp>
#include <muster/future.hpp>
#include <muster/stats.hpp>
#include <muster/task_options.hpp>

namespace muster {

/// What runs tasks: `submit`, `post`, `map`, `shutdown` and the rest, whatever does the work.
///
///     int sum_of_squares(muster::Executor auto& pool, const std::vector<int>& numbers);
///
/// Beyond the syntax: every accepted task is run once or cancelled, `shutdown` refuses further
/// tasks, and the destructor waits for what was accepted.
template <typename E>
concept Executor = requires(E& executor, const E& constant, int (*fn)(), ShutdownOptions options) {
    { executor.submit(fn) } -> std::same_as<Future<int>>;
    { executor.try_submit(fn) } -> std::same_as<std::optional<Future<int>>>;
    executor.post(fn);
    executor.wait_idle();
    executor.shutdown(options);
    { constant.max_workers() } -> std::convertible_to<std::size_t>;
    { constant.stats() } -> std::derived_from<ExecutorStats>;
};

/// Gives an executor its whole interface. `Derived` supplies three things: `take(Task)`, which runs
/// the task in some thread sooner or later or drops it, `shutdown`, and `max_workers`.
///
///     class ArenaExecutor : public muster::ExecutorInterface<ArenaExecutor> {
///       public:
///         ~ArenaExecutor() { shutdown(); }
///         void take(muster::Task task) { arena_.enqueue([task = std::move(task)]() mutable { task(); }); }
///         void shutdown(muster::ShutdownOptions options = {}) { close(options); }
///         std::size_t max_workers() const { return 4; }
///     };
///
/// Thread safety: all members, tasks included.
template <typename Derived, typename Calls = detail::LocalCalls>
class ExecutorInterface {
    // Named, not deduced: who only asks for the type does not have the whole call compiled.
    template <typename F, typename... Args>
    using Result = Future<typename Calls::template Result<F, Args...>>;

  public:
    ExecutorInterface(const ExecutorInterface&) = delete;
    ExecutorInterface& operator=(const ExecutorInterface&) = delete;

    /// Has `fn(args...)` run, and returns the future of its result.
    ///
    /// `fn` and `args` are copied or moved in, a string literal as a `std::string`. If `fn` takes a
    /// `StopToken` before them, it gets one that `future.request_stop()` reaches. They are destroyed
    /// before the future is done.
    ///
    ///     muster::Future<double> root = pool.submit([](double x) { return std::sqrt(x); }, 2.0);
    ///
    /// **Throws**: `ShutdownError` after `shutdown`. What copying the arguments throws.
    /// **Blocks** while `max_pending` tasks are unfinished, unless called from the pool's own tasks.
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, TaskOptions>)
    Result<F, Args...> submit(F&& fn, Args&&... args) {
        auto task = Calls::make(*owner_, std::forward<F>(fn), std::forward<Args>(args)...);
        owner_->accept();
        return hand_over(std::move(task));
    }
    /// As above, with options: `pool.submit({.priority = 1}, fn, args...)`.
    ///
    /// **Throws** also `std::invalid_argument` for `.retries` of what cannot be copied.
    template <typename F, typename... Args>
    Result<F, Args...> submit(TaskOptions options, F&& fn, Args&&... args) {
        auto task = Calls::make_with(*owner_, std::move(options), std::forward<F>(fn),
                                     std::forward<Args>(args)...);
        owner_->accept();
        return hand_over(std::move(task));
    }

    /// As `submit`, but when the pool is full it returns an empty optional instead of waiting, and
    /// leaves the arguments as they were.
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, TaskOptions>)
    std::optional<Result<F, Args...>> try_submit(F&& fn, Args&&... args) {
        return try_hand_over(
            [&] { return Calls::make(*owner_, std::forward<F>(fn), std::forward<Args>(args)...); });
    }
    template <typename F, typename... Args>
    std::optional<Result<F, Args...>> try_submit(TaskOptions options, F&& fn, Args&&... args) {
        return try_hand_over([&] {
            return Calls::make_with(*owner_, std::move(options), std::forward<F>(fn),
                                    std::forward<Args>(args)...);
        });
    }

    /// Has `fn(args...)` run, without a future. What it throws goes to the option `on_error`; what
    /// it returns is dropped, and may be of any type.
    ///
    /// **Throws** and **blocks** as `submit`.
    template <typename F, typename... Args>
        requires(!std::same_as<std::remove_cvref_t<F>, TaskOptions>)
    void post(F&& fn, Args&&... args) {
        auto task = Calls::template make<detail::Results::dropped>(*owner_, std::forward<F>(fn),
                                                                   std::forward<Args>(args)...);
        owner_->accept();
        hand_over_posted(std::move(task));
    }
    template <typename F, typename... Args>
    void post(TaskOptions options, F&& fn, Args&&... args) {
        auto task = Calls::template make_with<detail::Results::dropped>(
            *owner_, std::move(options), std::forward<F>(fn), std::forward<Args>(args)...);
        owner_->accept();
        hand_over_posted(std::move(task));
    }

    /// The results of `fn` for each element, in order, as an input range that is gone through once.
    /// With several ranges `fn` takes one element of each; the shortest ends it.
    ///
    ///     for (long n : pool.map(count_primes, begins, ends)) std::cout << n << '\n';
    ///
    /// Elements are taken from the input as needed, so endless ranges work; an lvalue range must
    /// outlive the results, and the executor what is left of the input. An element's exception is
    /// thrown when it is reached, and ends the range; what has not begun is then cancelled, as it is
    /// when the results are dropped. What an input range throws, or submitting an element, as after a
    /// shutdown, is thrown after the results of the elements before.
    ///
    /// **Throws**: as `submit`; while gone through, also `TimeoutError` for the option `timeout`.
    /// **Blocks** as `submit`, but no longer than that option says.
    template <typename F, std::ranges::input_range... Ranges>
        requires(!std::same_as<std::remove_cvref_t<F>, MapOptions> && sizeof...(Ranges) > 0)
    auto map(F&& fn, Ranges&&... ranges) {
        return map(MapOptions{}, std::forward<F>(fn), std::forward<Ranges>(ranges)...);
    }
    /// **Throws** also `std::invalid_argument` for a `buffersize` of 0.
    template <typename F, std::ranges::input_range... Ranges>
        requires(sizeof...(Ranges) > 0)
    auto map(MapOptions options, F&& fn, Ranges&&... ranges) {
        return detail::make_map<Calls, detail::Results::kept>(self(), options, std::forward<F>(fn),
                                                              std::forward<Ranges>(ranges)...);
    }

    /// Calls `fn` for each element, which it cannot change, and waits for all.
    ///
    ///     pool.for_each([&](const Tile& tile) { render(scene, tile); }, tiles);
    ///
    /// **Throws**: the first exception in the order of the input, an input range's own included; what
    /// has not begun is then left out, and what has begun is waited for.
    template <typename F, std::ranges::input_range Range>
    void for_each(F&& fn, Range&& range) {
        using Element = std::ranges::range_value_t<Range>;
        constexpr bool possible = detail::CallPlan<std::decay_t<F>, const Element&>::possible;
        static_assert(possible,
                      "muster: for_each's fn cannot be called with a const element of the range, "
                      "neither alone nor with a muster::StopToken before it");
        if constexpr (possible)
            Calls::for_each(self(), std::forward<F>(fn), std::forward<Range>(range));
    }

    /// Waits until no task is pending or running and the callbacks of all have run. From inside a
    /// task: until no other task is.
    void wait_idle() { owner_->wait_idle(std::nullopt); }

    /// As `wait_idle`, at most for `timeout`; returns whether it was reached.
    template <typename Rep, typename Period>
    bool wait_idle_for(std::chrono::duration<Rep, Period> timeout) {
        return owner_->wait_idle(detail::deadline_after(timeout));
    }

    /// What the executor has done so far.
    [[nodiscard]] typename Calls::Stats stats() const { return owner_->stats(); }

  protected:
    using Owner = typename Calls::Owner;

    /// For executors without own bookkeeping.
    ExecutorInterface()
        requires std::same_as<Owner, detail::TaskOwner>
        : ExecutorInterface(*new detail::TaskOwner(0, {})) {}
    /// Takes `owner` over.
    explicit ExecutorInterface(Owner& owner) noexcept : owner_{&owner} {}
    ~ExecutorInterface() { owner_->retire(); }

    [[nodiscard]] Owner& owner() const noexcept { return *owner_; }

    /// Refuses further tasks and, if the options say so, waits for those accepted.
    void close(const ShutdownOptions& options) {
        owner_->close();
        if (options.cancel_futures) owner_->cancel_retries();
        if (options.wait) owner_->wait_idle(std::nullopt);
    }

  private:
    template <typename, typename, typename>
    friend struct detail::MapInput;
    friend struct detail::FutureAccess;

    static constexpr bool shares_memory = Calls::shares_memory;

    Derived& self() noexcept { return static_cast<Derived&>(*this); }

    /// As `submit`, but returns an empty optional when there is no room before the deadline.
    template <detail::Results results, typename F, typename... Args>
    auto submit_before(const detail::Deadline& deadline, F&& fn, Args&&... args) {
        auto task = Calls::template make<results>(*owner_, std::forward<F>(fn),
                                                  std::forward<Args>(args)...);
        std::optional<decltype(hand_over(std::move(task)))> future;
        if (owner_->accept(deadline)) future = hand_over(std::move(task));
        return future;
    }

    /// The task is made when there is room for it, since it takes the arguments.
    template <typename Make>
    auto try_hand_over(const Make& make) {
        using Handed = std::optional<decltype(hand_over(make()))>;
        if (!owner_->try_accept()) return Handed();
        decltype(make()) task;
        try {
            task = make();
        } catch (...) {
            owner_->retract();
            throw;
        }
        return Handed(hand_over(std::move(task)));
    }

    template <typename Made>
    Future<typename Made::Result> hand_over(detail::Ref<Made> task) {
        task->join(*owner_);
        detail::Ref<detail::State<typename Made::Result>> state(task);
        auto future = detail::FutureAccess::make(std::move(state));
        self().take(typename Calls::Handle(std::move(task)));
        return future;
    }

    template <typename Made>
    void hand_over_posted(detail::Ref<Made> task) {
        task->set_posted();
        task->join(*owner_);
        self().take(typename Calls::Handle(std::move(task)));
    }

    Owner* owner_;
};

}  // namespace muster
