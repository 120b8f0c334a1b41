// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/per_process.hpp>
#include <muster/detail/process/code_address.hpp>
#include <muster/detail/process/death_watch.hpp>
#include <muster/detail/process/launchers.hpp>
#include <muster/detail/process/pool_memory.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/starter_thread.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/process/worker_main.hpp>
#include <muster/process_pool_options.hpp>

namespace muster::detail {

class Child;

/// Copies of this process as it is at each start.
class CopyLauncher final : public Launcher {
  public:
    os::ChildProcess start(WorkerPage& page, const WorkerFds& fds) override {
        flush_streams();  // Else the copy would print once more what waits in a buffer.
        page.role = WorkerRole::copy;
        return os::copy_process(fds, [](const WorkerFds& own) { serve_as_copy(own); });
    }
};

/// What all the `Process`es that this process makes have in common.
///
/// Made with the first one, and kept to the end of the process. Thread safety: all members.
class Children {
  public:
    using StartTimeout = std::optional<std::chrono::nanoseconds>;

    /// Those of this process. A copy of it, made by `fork`, gets its own: in the copy, those of the
    /// original are never touched.
    static Children& own() { return per_process<Children>(); }

    Children() = default;
    Children(const Children&) = delete;
    Children& operator=(const Children&) = delete;
    ~Children() = default;

    [[nodiscard]] PoolMemory& memory() noexcept { return memory_; }
    [[nodiscard]] ModuleTable& modules() noexcept { return modules_; }
    [[nodiscard]] DeathWatch& deaths() noexcept { return deaths_; }
    /// False in a copy of the process that made them.
    [[nodiscard]] bool are_own() const { return generation_ == os::fork_generation(); }
    [[nodiscard]] unsigned long next_number() noexcept {
        return count_.fetch_add(1, std::memory_order_relaxed) + 1;
    }

    /// This side of a process that was launched.
    struct Launched {
        os::ChildProcess process;
        os::PrivateFd lifeline;
    };
    /// Starts a process, whose page is in `memory`. **Throws**: `std::system_error`,
    /// `EntryGuardError`.
    Launched launch(StartMethod method, const StartTimeout& timeout, WorkerPage& page,
                    const os::Fd& memory) {
        // One at a time: a copy that another thread makes meanwhile would hold the lifeline, too.
        const std::lock_guard held(lock_);
        Launcher& launcher = launcher_for(method, timeout);
        try {
            return launch_by(launcher, page, memory);
        } catch (const std::system_error&) {
            if (method != StartMethod::forkserver || launcher.fd() != -1) throw;
            return launch_by(launcher, page, memory);  // The server has ended just now.
        }
    }

    /// How a process ended, which is reaped; empty while that is not known.
    std::optional<os::ExitStatus> poll_exit(os::ChildProcess& process) noexcept {
        if (!process.reaper()) return process.poll_exit();
        const std::lock_guard held(lock_);
        process.reaper()->receive();
        return process.poll_exit();
    }

    /// Remembers a child that has been started.
    void add(std::weak_ptr<Child> child) {
        const std::lock_guard held(started_lock_);
        std::erase_if(started_, [](const auto& each) { return each.expired(); });
        started_.push_back(std::move(child));
    }
    /// Those that were started and have a handle.
    [[nodiscard]] std::vector<std::shared_ptr<Child>> started() {
        std::vector<std::shared_ptr<Child>> all;
        const std::lock_guard held(started_lock_);
        for (const auto& each : started_)
            if (auto child = each.lock()) all.push_back(std::move(child));
        return all;
    }

  private:
    /// A fork server may end after it has made a copy and before it has said so. The copy is not told
    /// to begin: for another one is made in its place, and a call is made once.
    Launched launch_by(Launcher& launcher, WorkerPage& page, const os::Fd& memory) {
        auto [ours, theirs] = os::socket_pair();
        Launched launched;
        launched.lifeline = os::PrivateFd(std::move(ours));
        const int pool = memory_.fd().get();  // Also in the places of what such a process has not.
        const WorkerFds fds{theirs.get(), memory.get(), pool, pool, pool, launcher.family().fd()};
        starter_.run([&] { launched.process = launcher.start(page, fds); });
        (void)send_begin(launched.lifeline.get());  // If it has died, that is seen later.
        return launched;
    }

    Launcher& launcher_for(StartMethod method, const StartTimeout& timeout) {
        switch (method) {
            case StartMethod::spawn:
                if (!spawn_) spawn_.emplace("");
                return *spawn_;
            case StartMethod::fork:
                return copy_;
            case StartMethod::forkserver:
                break;
        }
        if (!fork_server_) {
            fork_server_.emplace("", timeout);
            const os::NoForks during_registration;
            (void)std::atexit([] { own().let_fork_server_go(); });
        }
        return *fork_server_;
    }

    /// It ends, and is reaped, when no copies of it are left.
    void let_fork_server_go() noexcept {
        const std::lock_guard held(lock_);
        fork_server_.reset();
    }

    const std::uint64_t generation_ = os::fork_generation();
    PoolMemory memory_;
    ModuleTable modules_{memory_};
    std::atomic<unsigned long> count_{0};
    std::mutex lock_;
    StarterThread starter_;
    std::optional<SpawnLauncher> spawn_;
    CopyLauncher copy_;
    std::optional<ForkServerLauncher> fork_server_;
    std::mutex started_lock_;
    std::vector<std::weak_ptr<Child>> started_;
    DeathWatch deaths_;
};

}  // namespace muster::detail
