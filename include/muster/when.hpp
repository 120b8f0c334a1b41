// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <muster/detail/gate_continuation.hpp>
#include <muster/future.hpp>
#include <muster/wait.hpp>

namespace muster {

/// Which future was done first: its place among those given, and itself.
template <typename T>
struct WhenAny {
    std::size_t index = 0;
    Future<T> future;
};

/// The same for futures of different types.
template <>
struct WhenAny<AnyFuture> {
    std::size_t index = 0;
    AnyFuture future;
};

namespace detail {

/// A state that depends on several others. `Derived` says what to do when one of them is done, and
/// returns the callbacks to be run.
template <typename R, typename Derived>
class JoinState : public State<R> {
  public:
    bool wait(const Deadline& deadline) noexcept override {
        return wait_composite(*this, deadline);
    }
    bool help() noexcept override {
        // An input that is done and not settled here has callbacks that wait; others bring nothing.
        for (std::size_t i = 0; i < inputs_.size(); ++i)
            if (!nodes_[i].settled.load(std::memory_order_acquire) && inputs_[i]->help())
                return true;
        return false;
    }
    void wake_helpers() noexcept override {
        for (const Ref<StateBase>& input : inputs_) input->wake_helpers();
    }
    Gate* gate_here() noexcept override {
        for (const Ref<StateBase>& input : inputs_)
            if (Gate* gate = input->gate_here()) return gate;
        return nullptr;
    }

    [[nodiscard]] bool orphaned() noexcept override {
        const auto lost = [](const Ref<StateBase>& input) { return input->orphaned(); };
        if (this->done()) return false;
        return Derived::needs_all ? std::any_of(inputs_.begin(), inputs_.end(), lost)
                                  : std::all_of(inputs_.begin(), inputs_.end(), lost);
    }

    /// Starts listening. Each input's list holds a reference to this state until it is done.
    void link() noexcept {
        for (std::size_t i = 0; i < inputs_.size(); ++i) {
            nodes_[i].join = this;
            nodes_[i].index = i;
            this->retain();
        }
        for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i]->add_continuation(nodes_[i]);
    }

  protected:
    explicit JoinState(std::vector<Ref<StateBase>> inputs)
        : inputs_{std::move(inputs)}, nodes_{std::make_unique<Node[]>(inputs_.size())} {}
    ~JoinState() override = default;

    [[nodiscard]] StateBase& input(std::size_t index) const noexcept { return *inputs_[index]; }
    [[nodiscard]] std::size_t size() const noexcept { return inputs_.size(); }

  private:
    struct Node final : Link {
        JoinState* join = nullptr;
        std::size_t index = 0;
        std::atomic<bool> settled{false};
        Settled settle(StateBase& state) noexcept override {
            settled.store(true, std::memory_order_release);
            Ref<JoinState> self = Ref<JoinState>::adopt(join);
            Continuation* const callbacks = static_cast<Derived&>(*join).input_done(index, state);
            return {std::move(self), callbacks};
        }
    };

    std::vector<Ref<StateBase>> inputs_;
    std::unique_ptr<Node[]> nodes_;
};

/// Waits for all inputs; `Gather` makes the value of their states.
template <typename R, typename Gather>
class AllState final : public JoinState<R, AllState<R, Gather>> {
    using Base = JoinState<R, AllState<R, Gather>>;

  public:
    static constexpr bool needs_all = true;

    AllState(std::vector<Ref<StateBase>> inputs, Gather gather)
        : Base(std::move(inputs)), missing_{this->size()}, gather_{std::move(gather)} {}

    Continuation* input_done(std::size_t, StateBase& input) noexcept {
        if (input.phase() == Phase::cancelled) {
            if (this->begin_settling()) return this->publish(Phase::cancelled);
        } else if (std::exception_ptr error = input.error()) {
            if (this->begin_settling()) return this->publish_error(std::move(error));
        } else if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            return finish();
        }
        return nullptr;
    }

    Continuation* finish() noexcept {
        if (!this->begin_settling()) return nullptr;
        try {
            this->emplace_value(
                gather_([this](std::size_t i) -> StateBase& { return this->input(i); }));
        } catch (...) {
            return this->publish_error(std::current_exception());
        }
        return this->publish(Phase::succeeded);
    }

  private:
    ~AllState() override = default;
    std::atomic<std::size_t> missing_;
    Gather gather_;
};

/// Waits for one input; `Pick` makes the value of its index.
template <typename R, typename Pick>
class AnyState final : public JoinState<R, AnyState<R, Pick>> {
    using Base = JoinState<R, AnyState<R, Pick>>;

  public:
    static constexpr bool needs_all = false;

    AnyState(std::vector<Ref<StateBase>> inputs, Pick pick)
        : Base(std::move(inputs)), pick_{std::move(pick)} {}

    Continuation* input_done(std::size_t index, StateBase&) noexcept {
        if (!this->begin_settling()) return nullptr;
        this->emplace_value(pick_(index));
        return this->publish(Phase::succeeded);
    }

  private:
    ~AnyState() override = default;
    Pick pick_;
};

template <template <typename, typename> class Join, typename R, typename Make>
Ref<Join<R, Make>> make_join(std::vector<Ref<StateBase>> inputs, Make make) {
    auto join = Ref<Join<R, Make>>::adopt(new Join<R, Make>(std::move(inputs), std::move(make)));
    join->link();
    return join;
}

/// The value of a done input: copied where it can be, because others may hold the future too.
template <bool move, typename T>
auto value_of(StateBase& state) {
    auto& typed = static_cast<State<T>&>(state);
    if constexpr (std::is_void_v<T>)
        return (void)typed.value(), std::monostate{};
    else if constexpr (move || !std::is_copy_constructible_v<T>)
        return T(std::move(typed.take()));
    else
        return T(std::as_const(typed.value()));
}

template <typename T>
struct FutureValue;
template <typename T>
struct FutureValue<Future<T>> {
    using type = T;
};
template <typename F>
using ValueOf = typename FutureValue<std::remove_cvref_t<F>>::type;

template <typename T>
using Presentable = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename F>
concept AFuture = requires { typename FutureValue<std::remove_cvref_t<F>>::type; };

}  // namespace detail

/// The future of all values in the order given: `Future<std::vector<T>>`, or `Future<void>` for
/// futures of nothing. The first error or cancellation is its own, at once.
///
///     muster::Future<std::vector<int>> all = muster::when_all(futures);
///
/// Values are copied, but moved out of an rvalue range, unless it is a view of somebody else's
/// futures, and when they cannot be copied.
template <FutureRange Range>
    requires detail::AFuture<std::ranges::range_value_t<Range>>
auto when_all(Range&& futures) {
    using T = detail::ValueOf<std::ranges::range_value_t<Range>>;
    using R = std::conditional_t<std::is_void_v<T>, void, std::vector<detail::Presentable<T>>>;
    constexpr bool move =
        !std::is_lvalue_reference_v<Range> && !std::ranges::view<std::remove_cvref_t<Range>>;
    std::vector<detail::Ref<detail::StateBase>> inputs;
    for (auto&& future : futures)
        inputs.push_back(detail::Ref<detail::StateBase>(detail::FutureAccess::share(future)));
    const std::size_t count = inputs.size();
    auto join = detail::make_join<detail::AllState, R>(
        std::move(inputs), [count]([[maybe_unused]] auto&& input) -> detail::Stored<R> {
            if constexpr (std::is_void_v<R>) {
                (void)count;  // clang: captured for nothing.
                return {};
            } else {
                R values;
                values.reserve(count);
                for (std::size_t i = 0; i < count; ++i)
                    values.push_back(detail::value_of<move, T>(input(i)));
                return values;
            }
        });
    if (count == 0) join->finish();
    return detail::FutureAccess::make(detail::Ref<detail::State<R>>(std::move(join)));
}

/// The future of a tuple of all values; `std::monostate` stands for those of nothing.
///
///     auto [page, size] = muster::when_all(pool.submit(download, url), pool.submit(measure)).result();
template <detail::AFuture... Futures>
auto when_all(Futures&&... futures) {
    using R = std::tuple<detail::Presentable<detail::ValueOf<Futures>>...>;
    std::vector<detail::Ref<detail::StateBase>> inputs{
        detail::Ref<detail::StateBase>(detail::FutureAccess::share(futures))...};
    auto gather = [](auto&& input) -> R {
        return [&]<std::size_t... i>(std::index_sequence<i...>) {
            return R{
                detail::value_of<!std::is_lvalue_reference_v<Futures>, detail::ValueOf<Futures>>(
                    input(i))...};
        }(std::index_sequence_for<Futures...>{});
    };
    auto join = detail::make_join<detail::AllState, R>(std::move(inputs), gather);
    if constexpr (sizeof...(Futures) == 0) join->finish();
    return detail::FutureAccess::make(detail::Ref<detail::State<R>>(std::move(join)));
}

/// The future of the first that is done, in whatever way: its index and itself. The others run on.
///
///     auto [index, future] = muster::when_any(mirrors).result();
///
/// **Throws**: `std::invalid_argument` for an empty range: nothing would ever be done.
template <FutureRange Range>
auto when_any(Range&& futures) {
    using F = std::ranges::range_value_t<Range>;
    using R = typename std::conditional_t<detail::AFuture<F>, detail::FutureValue<F>,
                                          std::type_identity<F>>::type;
    std::vector<F> all;
    std::ranges::copy(futures, std::back_inserter(all));
    if (all.empty())
        throw std::invalid_argument("muster: when_any() of no futures would never be done");
    auto inputs = detail::states_of(all);
    auto pick = [all = std::move(all)](std::size_t index) { return WhenAny<R>{index, all[index]}; };
    return detail::FutureAccess::make(detail::Ref<detail::State<WhenAny<R>>>(
        detail::make_join<detail::AnyState, WhenAny<R>>(std::move(inputs), std::move(pick))));
}

/// The same for a pack: `WhenAny<T>` when all are `Future<T>`, else `WhenAny<AnyFuture>`.
template <detail::AFuture First, detail::AFuture... Others>
auto when_any(const First& first, const Others&... others) {
    if constexpr ((std::is_same_v<First, Others> && ...))
        return when_any(std::vector<First>{first, others...});
    else
        return when_any(std::vector<AnyFuture>{first, others...});
}

}  // namespace muster
