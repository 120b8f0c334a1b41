// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>
#include <utility>

#include <muster/detail/call.hpp>
#include <muster/detail/map_range.hpp>
#include <muster/detail/process/process_engine.hpp>
#include <muster/detail/process/remote_task.hpp>

namespace muster::detail {

/// How a process pool makes tasks of calls: encoded at once, in the caller's thread, so that what
/// cannot be encoded is known there.
struct RemoteCalls {
    using Owner = ProcessEngine;
    using Stats = ProcessPoolStats;
    template <typename F, typename... Args>
    using Result = typename CallPlan<std::decay_t<F>, Kept<Args>...>::Result;

    struct Handle : TaskHandle {
        template <typename R>
        explicit Handle(Ref<RemoteTaskOf<R>> made) noexcept {
            task = made.get();
            state = std::move(made);
        }
    };

    static constexpr bool shares_memory = false;

    /// Each element is a task: the ring makes one out of many at no cost.
    static constexpr bool chunks = false;

    template <Results results = Results::kept, typename F, typename... Args>
    static auto make(ProcessEngine& engine, F&& fn, Args&&... args) {
        using Fn = std::decay_t<F>;
        using Plan = CallPlanWith<results, Fn, Kept<Args>...>;
        using Made = RemoteTaskOf<typename Plan::Result>;
        if constexpr (check_crossable<Plan, Fn, Kept<Args>...>()) {
            engine.throw_if_unusable();
            EncodedCall call = encode_call<Plan, Fn, Kept<Args>...>(
                engine.memory(), engine.modules(), std::forward<F>(fn),
                std::forward<Args>(args)...);
            return Ref<Made>::adopt(
                new Made(engine, std::move(call), Plan::with_token, Plan::copies));
        } else {
            return Ref<Made>();  // Never compiled to the end.
        }
    }
    template <Results results = Results::kept, typename F, typename... Args>
    static auto make_with(ProcessEngine& engine, TaskOptions&& options, F&& fn, Args&&... args) {
        auto task = make<results>(engine, std::forward<F>(fn), std::forward<Args>(args)...);
        task->set_options(std::move(options));
        return task;
    }

    template <typename Executor, typename F, typename Range>
    static void for_each(Executor& executor, F&& fn, Range&& range) {
        make_map<RemoteCalls, Results::dropped>(executor, {}, std::forward<F>(fn),
                                                std::forward<Range>(range))
            .finish();
    }
};

}  // namespace muster::detail
