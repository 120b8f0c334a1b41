// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/process/worker_handle.hpp>

namespace muster::test {

/// Makes no process: the test is the worker.
class NoLauncher final : public detail::Launcher {
  public:
    detail::os::ChildProcess start(detail::WorkerPage&, const detail::WorkerFds&) override {
        return {};
    }
};

/// Owns tasks, and is never asked for anything: nobody waits for them.
class NoEngine final : public detail::RemoteOwner {
  public:
    NoEngine() : RemoteOwner(0, nullptr) {}
    bool cancel_remote(detail::RemoteTask&) noexcept override { return false; }
    bool stop_remote(detail::RemoteTask&) noexcept override { return false; }
    bool kill_remote(detail::RemoteTask&) noexcept override { return false; }
    [[nodiscard]] bool begun(const detail::RemoteTask&) const noexcept override { return false; }
    void free_record(const detail::EncodedCall&) noexcept override {}
    bool run_callbacks_here(const detail::StateBase&) noexcept override { return false; }
};

}  // namespace muster::test
