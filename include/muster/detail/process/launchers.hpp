// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <muster/detail/os.hpp>
#include <muster/detail/process/crash_report.hpp>
#include <muster/detail/process/launcher.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/process/worker_main.hpp>
#include <muster/process_pool_options.hpp>

namespace muster::detail {

/// Starts a program file afresh.
class SpawnLauncher final : public Launcher {
  public:
    /// `executable` empty: the file of this program.
    explicit SpawnLauncher(const std::string& executable)
        : executable_{executable.empty() ? os::own_executable() : executable},
          arguments_{os::own_command_line()},
          program_{os::loaded_modules()->modules.front()->id()} {
        if (!executable.empty() && !arguments_.empty()) arguments_[0] = executable;
        copy_text(name_, os::process_name());
    }

    os::ChildProcess start(WorkerPage& page, const WorkerFds& fds) override {
        page.parent_pid = os::own_process_id();
        page.process_name = name_;
        page.program_id_size = static_cast<std::uint32_t>(program_.bytes.size());
        std::copy(program_.bytes.begin(), program_.bytes.end(), page.program_id.begin());
        return os::ChildProcess::start(
            {.executable = executable_,
             .arguments = arguments_,
             .extra_environment = {std::string(worker_variable) + "=" +
                                   worker_identity(page.nonce, spawned_fds) + " " +
                                   std::to_string(page.parent_pid)},
             .inherited = {fds.begin(), fds.end()}});
    }

    [[nodiscard]] std::string program() const override { return executable_; }

  private:
    std::string executable_;
    std::vector<std::string> arguments_;
    std::array<char, 64> name_{};
    os::ModuleId program_;
};

/// Has workers made as copies of another process.
class ForkLauncher : public Launcher {
  public:
    os::ChildProcess start(WorkerPage& page, const WorkerFds& fds) override {
        prepare();
        page.role = role();
        return server_->start(fds);
    }
    [[nodiscard]] int fd() const noexcept override {
        return server_ && !server_->gone() ? server_->fd() : -1;
    }
    [[nodiscard]] bool pending() const noexcept override { return server_ && server_->pending(); }
    void receive() noexcept override {
        if (server_) server_->receive();
    }

  protected:
    /// Sees to it that there is a server. **Throws**: `std::system_error`.
    virtual void prepare() = 0;
    [[nodiscard]] virtual WorkerRole role() const noexcept = 0;

    std::shared_ptr<os::ForkClient> server_;
};

/// Copies of this process as it is when the launcher is made.
class SnapshotLauncher final : public ForkLauncher {
  public:
    SnapshotLauncher() {
        flush_streams();  // Else each worker would print once more what waits in a buffer.
        server_ = os::ForkClient::copy_this_process([](int control) { serve_forks(control); });
    }

  private:
    void prepare() override {}
    [[nodiscard]] WorkerRole role() const noexcept override { return WorkerRole::copy; }
};

/// Copies of a process that was started afresh, when the first one was wanted, and has done nothing
/// else: fast as a fork, and safe in programs with threads.
class ForkServerLauncher final : public ForkLauncher {
  public:
    ForkServerLauncher(const std::string& executable,
                       std::optional<std::chrono::nanoseconds> start_timeout)
        : spawn_{executable}, start_timeout_{start_timeout} {}

    [[nodiscard]] std::string program() const override { return spawn_.program(); }

  private:
    void prepare() override {
        if (server_ && !server_->gone()) return;
        server_.reset();
        const os::Fd memory = os::anonymous_memory("muster-server", result_ring_offset);
        memory_ = os::Mapping::read_write(memory, 0, result_ring_offset);
        auto& page = *new (memory_.data()) WorkerPage;
        introduce_parent(page);
        page.role = WorkerRole::fork_server;
        auto [ours, theirs] = os::socket_pair();
        os::PrivateFd control(std::move(ours));
        const int socket = theirs.get();
        const int own = memory.get();  // Also in the places of what it has no use for.
        os::ChildProcess process =     // Static locks and queues are made in the family's memory.
            spawn_.start(page, {socket, own, own, own, own, family().fd()});
        theirs = {};
        const int raw = control.get();
        const auto pid = static_cast<int>(process.pid());
        server_ = std::make_shared<os::ForkClient>(std::move(control), std::move(process));
        try {
            expect_ready(raw, pid);
        } catch (...) {
            server_.reset();
            throw;
        }
    }

    /// **Throws**: `EntryGuardError`; `WorkerCrashed` if a signal has ended it; `std::system_error`.
    void expect_ready(int control, int pid) const {
        os::Watch watch;
        watch.add(control);
        const Deadline limit = deadline_after(start_timeout_);
        while (!expired(limit) && !watch.ready(0)) watch.wait(limit);
        Packet packet;
        packet.kind = Packet::Kind::unguarded;
        if (watch.ready(0) && !receive_packet(control, packet)) {
            const auto end = server_->server_end();
            if (end && end->signal)
                throw WorkerCrashed("muster: the process to be copied (pid " + std::to_string(pid) +
                                        ") " + describe_end(*end) +
                                        " before it reached muster::entry_guard()",
                                    pid, -*end->signal, *end->signal);
        }
        if (packet.kind != Packet::Kind::ready)
            throw_refused(packet, "the process to be copied", pid, program());
    }

    [[nodiscard]] WorkerRole role() const noexcept override { return WorkerRole::worker; }

    SpawnLauncher spawn_;
    std::optional<std::chrono::nanoseconds> start_timeout_;
    os::Mapping memory_;
};

/// **Throws**: `std::invalid_argument`, `InvalidStateError`, `std::system_error`.
inline std::unique_ptr<Launcher> make_launcher(const ProcessPoolOptions& options) {
    switch (options.start_method) {
        case StartMethod::spawn:
            return std::make_unique<SpawnLauncher>(options.executable);
        case StartMethod::forkserver:
            return std::make_unique<ForkServerLauncher>(options.executable, options.start_timeout);
        case StartMethod::fork:
            break;
    }
    if (!options.executable.empty())
        throw std::invalid_argument(
            "muster: workers made by StartMethod::fork are copies of this program: leave "
            ".executable out, or use spawn or forkserver");
    if (options.require_single_thread && os::thread_count() != 1)
        throw InvalidStateError(
            "muster: this program has " + std::to_string(os::thread_count()) +
            " threads, and .require_single_thread forbids to fork it then: make the pool before "
            "the threads, or use StartMethod::forkserver");
    return std::make_unique<SnapshotLauncher>();
}

}  // namespace muster::detail
