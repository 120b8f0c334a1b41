// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
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

/// How `F` is called with arguments kept as `Args`: alone, or with a `StopToken` before them.
template <typename F, typename... Args>
struct CallPlan {
    static constexpr bool plain = std::is_invocable_v<F, Args...>;
    static constexpr bool with_token = !plain && std::is_invocable_v<F, StopToken, Args...>;
    static constexpr bool possible = plain || with_token;

    static auto result_of() {
        if constexpr (plain)
            return std::type_identity<std::decay_t<std::invoke_result_t<F, Args...>>>{};
        else if constexpr (with_token)
            return std::type_identity<std::decay_t<std::invoke_result_t<F, StopToken, Args...>>>{};
        else
            return std::type_identity<void>{};
    }
    using Result = typename decltype(result_of())::type;
};

/// Whether to keep literals as strings (the rule) or as the pointers some functions insist on.
template <typename F, typename... Args>
inline constexpr bool keeps_strings = CallPlan<std::decay_t<F>, Kept<Args>...>::possible ||
                                      !CallPlan<std::decay_t<F>, std::decay_t<Args>...>::possible;

template <typename F, typename... Args>
using PlanFor =
    std::conditional_t<keeps_strings<F, Args...>, CallPlan<std::decay_t<F>, Kept<Args>...>,
                       CallPlan<std::decay_t<F>, std::decay_t<Args>...>>;

/// What `fn(args...)` gives, as a future holds it.
template <typename F, typename... Args>
using ResultOf = typename PlanFor<F, Args...>::Result;

/// The task that calls `F` with `Args`, both its own.
template <typename R, bool with_token, typename F, typename... Args>
class CallTask final : public Task<R> {
  public:
    template <typename Fn, typename... Values>
    explicit CallTask(Fn&& fn, Values&&... values) {
        std::construct_at(&work_, std::forward<Fn>(fn), std::forward<Values>(values)...);
        has_work_ = true;
    }

    /// **Throws**: `std::invalid_argument` for retries of what cannot be copied.
    void set_options(TaskOptions&& options) {
        if constexpr (copyable<F> && (copyable<Args> && ...)) {
            this->keep_options(std::move(options), [](Task<R>& task) {
                auto& self = static_cast<CallTask&>(task);
                Work copies(std::as_const(self.work_));
                return self.call_with(copies);
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
    using Work = std::tuple<F, Args...>;
    struct NoStop {};

    ~CallTask() override { CallTask::drop_work(); }

    Stored<R> call() override { return call_with(work_); }

    Stored<R> call_with(Work& work) {
        return std::apply(
            [this](F& fn, Args&... args) -> Stored<R> {
                (void)this;  // Used only by those that take a token.
                const auto invoke = [&]() -> decltype(auto) {
                    if constexpr (with_token)
                        return std::invoke(std::move(fn), stop_.get_token(), std::move(args)...);
                    else
                        return std::invoke(std::move(fn), std::move(args)...);
                };
                if constexpr (std::is_void_v<R>)
                    return invoke(), Nothing{};
                else
                    return invoke();
            },
            work);
    }

    StopSource* stop_source() noexcept override {
        if constexpr (with_token)
            return &stop_;
        else
            return nullptr;
    }

    void drop_work() noexcept override {
        if (std::exchange(has_work_, false)) std::destroy_at(&work_);
    }

    union {
        Work work_;
    };
    [[no_unique_address]] std::conditional_t<with_token, StopSource, NoStop> stop_;
    bool has_work_ = false;
};

/// Makes the task for `fn(args...)` in this process.
template <typename F, typename... Args>
auto make_call(F&& fn, Args&&... args) {
    using Plan = PlanFor<F, Args...>;
    static_assert(Plan::possible,
                  "muster: fn cannot be called with these arguments (decayed, passed as rvalues), "
                  "neither alone nor with a muster::StopToken before them");
    if constexpr (keeps_strings<F, Args...>) {
        using Made =
            CallTask<typename Plan::Result, Plan::with_token, std::decay_t<F>, Kept<Args>...>;
        return Ref<Made>::adopt(new Made(std::forward<F>(fn), std::forward<Args>(args)...));
    } else {
        using Made = CallTask<typename Plan::Result, Plan::with_token, std::decay_t<F>,
                              std::decay_t<Args>...>;
        return Ref<Made>::adopt(new Made(std::forward<F>(fn), std::forward<Args>(args)...));
    }
}

}  // namespace muster::detail
