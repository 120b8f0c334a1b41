// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <muster/detail/connection/pipe_channel.hpp>
#include <muster/multiprocessing/connection.hpp>

namespace muster::multiprocessing {

/// The two ends of a new conversation, which may be in any processes of the family, or in one.
///
///     auto [ours, theirs] = muster::multiprocessing::Pipe();
///     muster::multiprocessing::Process process(answer, theirs);
///     process.start();
///     theirs.close();  // So that the other process alone has that end.
///     ours.send(1);
///
/// It has no descriptor until somebody asks for `native_handle`.
///
/// **Throws**: `std::system_error`, `std::bad_alloc`. Thread safety: any thread.
[[nodiscard]] inline std::pair<Connection, Connection> Pipe() {
    const auto ends = detail::make_pipe_ends();
    return {detail::MakeConnection::of(std::make_shared<detail::PipeChannel>(ends.first)),
            detail::MakeConnection::of(std::make_shared<detail::PipeChannel>(ends.second))};
}

}  // namespace muster::multiprocessing
