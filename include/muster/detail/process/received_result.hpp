// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/remote_task.hpp>
#include <muster/detail/ref.hpp>

namespace muster::detail {

/// A task in the engine's hands, with a reference that keeps it alive.
struct TaskHandle {
    Ref<StateBase> state;
    RemoteTask* task = nullptr;

    /// Says that it will never run, to those who find it nowhere.
    void begin_cancel() const noexcept { (void)state->advance(Phase::pending, Phase::cancelling); }
};

/// A result where the worker put it. Its bytes are good until the reader has moved on.
struct ReceivedResult {
    ResultHeader header;
    std::span<const std::byte> bytes;
    std::optional<std::size_t> large_slot;
    TaskHandle handle;

    [[nodiscard]] bool failed() const noexcept {
        return header.kind == ResultHeader::Kind::exception ||
               header.kind == ResultHeader::Kind::large_exception;
    }
};

/// A worker did what no worker does: its memory was overwritten.
struct CorruptWorker {};

}  // namespace muster::detail
