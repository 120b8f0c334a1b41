// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include <muster/detail/family/family_memory.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/worker_link.hpp>

namespace muster::detail {

/// How worker processes come to be. Used by one thread at a time.
class Launcher {
  public:
    Launcher() = default;
    Launcher(const Launcher&) = delete;
    Launcher& operator=(const Launcher&) = delete;
    virtual ~Launcher() = default;

    /// Starts a worker, which finds `page` in the memory it inherits.
    /// **Throws**: `std::system_error`.
    virtual os::ChildProcess start(WorkerPage& page, const WorkerFds& fds) = 0;

    /// Readable when `receive` has something to do; -1: never.
    [[nodiscard]] virtual int fd() const noexcept { return -1; }

    /// Whether `start` has learnt of an end, on the way, that `receive` was not called for.
    [[nodiscard]] virtual bool pending() const noexcept { return false; }

    /// Takes in what was told of workers that ended.
    virtual void receive() noexcept {}

    /// The memory that this process shares with its workers, and they with theirs.
    /// **Throws**: `std::system_error`.
    FamilyMemory& family() {
        if (!family_) family_ = FamilyMemory::own();
        return *family_;
    }

    /// The file that workers are started from.
    [[nodiscard]] virtual std::string program() const { return os::own_executable(); }

  private:
    std::shared_ptr<FamilyMemory> family_;
};

}  // namespace muster::detail
