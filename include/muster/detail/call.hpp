// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <muster/detail/copyable.hpp>
#include <muster/detail/task.hpp>
#include <muster/stop_token.hpp>
#include <muster/task_options.hpp>

namespace muster::detail {

template <typename T>
concept Character =
    std::is_same_v<T, char> || std::is_same_v<T, wchar_t> || std::is_same_v<T, char8_t> ||
    std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;

/// How a task keeps an argument: decayed, but a string literal as a `std::string`, because a
/// pointer into the submitter's program means nothing to most executors.
template <typename Argument>
struct KeptArgument {
    using type = std::decay_t<Argument>;
};
template <Character Char, std::size_t n>
struct KeptArgument<const Char (&)[n]> {
    using type = std::basic_string<Char>;
};
template <typename Argument>
using Kept = typename KeptArgument<Argument>::type;

// Every call of `submit` compiles what is below once more. So it uses closures instead of tuples and
// `std::apply`, and names no more functions than needed.

/// `fn(args...)`, as what a future keeps.
template <typename R, typename F, typename... Args>
Stored<R> call_for(F&& fn, Args&&... args) {
    if constexpr (std::is_member_pointer_v<std::remove_cvref_t<F>>)
        return detail::call_for<R>(std::mem_fn(fn), std::forward<Args>(args)...);
    else if constexpr (std::is_void_v<R>)
        return static_cast<void>(std::forward<F>(fn)(std::forward<Args>(args)...)), Nothing{};
    else
        return std::forward<F>(fn)(std::forward<Args>(args)...);
}

template <typename F, typename... Args>
concept CalledAlone = std::is_invocable_v<F, Args...>;
template <typename F, typename... Args>
concept CalledWithToken = !CalledAlone<F, Args...> && std::is_invocable_v<F, StopToken, Args...>;

/// Whether somebody gets what a call returns. Else it may be of any type.
enum class Results : bool { dropped, kept };

/// How `F` is called with arguments kept as `Args`: alone, or with a `StopToken` before them.
template <Results results, typename F, typename... Args>
struct CallPlanWith {
    static constexpr bool with_token = CalledWithToken<F, Args...>;
    static constexpr bool possible = with_token || CalledAlone<F, Args...>;

    static auto result_of() {
        if constexpr (!possible || results == Results::dropped)
            return std::type_identity<void>{};
        else if constexpr (with_token)
            return std::type_identity<std::decay_t<std::invoke_result_t<F, StopToken, Args...>>>{};
        else
            return std::type_identity<std::decay_t<std::invoke_result_t<F, Args...>>>{};
    }
    using Result = typename decltype(result_of())::type;

    /// The call as an object, for one call. `stop` gives the token, and is null if none is taken.
    template <typename Fn, typename... Values>
    static auto bind(Fn&& fn, Values&&... values) {
        return [fn = F(std::forward<Fn>(fn)), ... args = Args(std::forward<Values>(values))](
                   [[maybe_unused]] const StopSource* stop) mutable -> Stored<Result> {
            if constexpr (with_token)
                return detail::call_for<Result>(std::move(fn), stop->get_token(),
                                                std::move(args)...);
            else
                return detail::call_for<Result>(std::move(fn), std::move(args)...);
        };
    }
    static constexpr bool copies = copyable<F> && (copyable<Args> && ...);
};

template <typename F, typename... Args>
using CallPlan = CallPlanWith<Results::kept, F, Args...>;

/// Whether to keep literals as strings (the rule) or as the pointers some functions insist on.
template <typename F, typename... Args>
consteval bool keeps_strings() {
    // A generic callable is compiled for what it is asked about: not for pointers without need.
    if constexpr (CallPlan<std::decay_t<F>, Kept<Args>...>::possible)
        return true;
    else
        return !CallPlan<std::decay_t<F>, std::decay_t<Args>...>::possible;
}
template <Results results, typename F, typename... Args>
using PlanFor = std::conditional_t<detail::keeps_strings<F, Args...>(),
                                   CallPlanWith<results, std::decay_t<F>, Kept<Args>...>,
                                   CallPlanWith<results, std::decay_t<F>, std::decay_t<Args>...>>;

/// What `fn(args...)` gives, as a future holds it.
template <typename F, typename... Args>
using ResultOf = typename PlanFor<Results::kept, F, Args...>::Result;

/// The task that calls `F` with `Args`, which are kept as the plan says.
template <typename Plan, typename F, typename... Args>
class CallTask final : public Task<typename Plan::Result> {
    using R = typename Plan::Result;
    using Work = decltype(Plan::bind(std::declval<F>(), std::declval<Args>()...));

  public:
    explicit CallTask(F&& fn, Args&&... args) {
        ::new (static_cast<void*>(&work_))
            Work(Plan::bind(std::forward<F>(fn), std::forward<Args>(args)...));
        has_work_ = true;
    }

    /// **Throws**: `std::invalid_argument` for retries of what cannot be copied.
    void set_options(TaskOptions&& options) {
        if constexpr (Plan::copies) {
            this->keep_options(std::move(options), [](Task<R>& task) {
                auto& self = static_cast<CallTask&>(task);
                return Work(std::as_const(self.work_))(self.stop_source());
            });
        } else {
            if (options.retries != 0)
                throw std::invalid_argument(
                    "muster: a task with TaskOptions::retries needs a callable and arguments that "
                    "can be copied, because each attempt gets copies; leave .retries at 0, or pass "
                    "a std::shared_ptr to what can only be moved");
            this->keep_options(std::move(options), nullptr);
        }
    }

  private:
    struct NoStop {};

    ~CallTask() override { CallTask::drop_work(); }

    Stored<R> call() override { return work_(CallTask::stop_source()); }

    StopSource* stop_source() noexcept override {
        if constexpr (Plan::with_token)
            return &stop_;
        else
            return nullptr;
    }

    void drop_work() noexcept override {
        if (std::exchange(has_work_, false)) work_.~Work();
    }

    union {
        Work work_;
    };
    [[no_unique_address]] std::conditional_t<Plan::with_token, StopSource, NoStop> stop_;
    bool has_work_ = false;
};

/// Stops the compilation, with one line, for what cannot be called.
template <typename F, typename... Args>
constexpr bool check_callable() {
    constexpr bool possible = PlanFor<Results::kept, F, Args...>::possible;
    static_assert(possible,
                  "muster: fn cannot be called with these arguments (decayed, passed as rvalues), "
                  "neither alone nor with a muster::StopToken before them");
    return possible;
}

/// The same for what cannot be a pool's initializer.
template <typename Plan>
constexpr bool check_initializer() {
    static_assert(
        !Plan::with_token,
        "muster: an initializer cannot take a muster::StopToken, because nobody can ask it "
        "to stop: leave that parameter out");
    static_assert(Plan::copies,
                  "muster: an initializer and its arguments must be copyable, because each worker "
                  "gets copies: pass a std::shared_ptr to what can only be moved");
    return !Plan::with_token && Plan::copies;
}

/// Makes the task for `fn(args...)` in this process.
template <Results results, typename F, typename... Args>
auto make_call(F&& fn, Args&&... args) {
    if constexpr (check_callable<F, Args...>()) {
        using Made = CallTask<PlanFor<results, F, Args...>, F, Args...>;
        return Ref<Task<typename Made::Result>>::adopt(
            new Made(std::forward<F>(fn), std::forward<Args>(args)...));
    } else {
        return Ref<Task<void>>();  // Never compiled to the end.
    }
}

/// The same with options, which it must be told before it is anybody else's.
template <Results results, typename F, typename... Args>
auto make_call_with(TaskOptions&& options, F&& fn, Args&&... args) {
    if constexpr (check_callable<F, Args...>()) {
        using Made = CallTask<PlanFor<results, F, Args...>, F, Args...>;
        auto* const made = new Made(std::forward<F>(fn), std::forward<Args>(args)...);
        auto task = Ref<Task<typename Made::Result>>::adopt(made);
        made->set_options(std::move(options));
        return task;
    } else {
        return Ref<Task<void>>();
    }
}

}  // namespace muster::detail
