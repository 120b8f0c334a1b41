// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <muster/detail/connection/pipe_channel.hpp>
#include <muster/detail/family/shared_pipe.hpp>
#include <muster/detail/family/shared_reference.hpp>
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
    using namespace detail;
    const auto pipe = SharedReference::make<SharedPipe>(BlockKind::pipe, sizeof(SharedPipe));
    const auto end = [&](std::uint64_t number) {
        auto reference = SharedReference::make<SharedPipeEnd>(BlockKind::pipe_end,
                                                              sizeof(SharedPipeEnd), number);
        add_reference(pipe->memory(), pipe->name(), BlockKind::pipe,
                      reference->object<SharedPipeEnd>().first_reference);
        return MakeConnection::of(std::make_shared<PipeChannel>(std::move(reference)));
    };
    return {end(0), end(1)};
}

}  // namespace muster::multiprocessing
