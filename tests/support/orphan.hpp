// SPDX-License-Identifier: MIT
#pragma once

#include <muster/promise.hpp>
#include <muster/wait.hpp>
#include <muster/when.hpp>

#include <chrono>
#include <functional>
#include <vector>

namespace muster::test {

/// For copies of the process: asks a future whose task is the original's, and has not ended there,
/// in all ways for its outcome. 0 when none of them waits, else the one that went wrong.
inline int ask_orphan(const Future<int>& pending) {
    using std::chrono::hours;
    const auto refuses = [](const std::function<void()>& call) {
        try {
            call();
        } catch (const InvalidStateError&) {
            return true;
        }
        return false;
    };
    pending.wait();
    if (pending.done() || pending.wait_for(hours(1))) return 11;
    if (!refuses([&] { (void)pending.result(); })) return 12;
    if (!refuses([&] { (void)pending.result(hours(1)); })) return 13;
    if (!refuses([&] { (void)pending.exception(); })) return 14;
    if (!refuses([&] { (void)pending.exception(hours(1)); })) return 15;
    if (!refuses([&] { (void)Future<int>(pending).result(); })) return 16;

    const auto linked = pending.then([](int x) { return x; }).then([](int x) { return x; });
    if (!refuses([&] { (void)linked.result(); })) return 21;
    if (!refuses([&] { (void)when_all(std::vector{pending, linked}).result(); })) return 22;
    if (!refuses([&] { (void)when_any(std::vector{pending, linked}).result(); })) return 23;
    if (wait(std::vector{pending, linked}).not_done.size() != 2) return 24;
    if (!refuses([&] {
            for (const auto& done : as_completed(std::vector{pending})) (void)done;
        }))
        return 25;

    Promise<int> promise;
    const Future<int> own = promise.get_future();
    const auto first = when_any(pending, own);
    promise.set_result(3);
    if (first.result().index != 1) return 31;
    if (wait(std::vector{pending, own}, ReturnWhen::first_completed).done.size() != 1) return 32;
    if (wait(std::vector{pending, own}).done.size() != 1) return 33;
    return 0;
}

}  // namespace muster::test
