// SPDX-License-Identifier: MIT
#pragma once

// The one place that knows which operating system this is. Each folder has the same file names and
// class names; everything else says `os::`.
#include <muster/detail/posix/await_end.hpp>
#include <muster/detail/posix/bell.hpp>
#include <muster/detail/posix/copy_process.hpp>
#include <muster/detail/posix/cpu_count.hpp>
#include <muster/detail/posix/executable.hpp>
#include <muster/detail/posix/family_bell.hpp>
#include <muster/detail/posix/fd.hpp>
#include <muster/detail/posix/find_memory.hpp>
#include <muster/detail/posix/fork_client.hpp>
#include <muster/detail/posix/fork_generation.hpp>
#include <muster/detail/posix/fork_server.hpp>
#include <muster/detail/posix/futex.hpp>
#include <muster/detail/posix/inherited.hpp>
#include <muster/detail/posix/kept_from_copies.hpp>
#include <muster/detail/posix/lifeline.hpp>
#include <muster/detail/posix/local_socket.hpp>
#include <muster/detail/posix/memory.hpp>
#include <muster/detail/posix/module.hpp>
#include <muster/detail/posix/named_memory.hpp>
#include <muster/detail/posix/no_forks.hpp>
#include <muster/detail/posix/oom_kills.hpp>
#include <muster/detail/posix/process.hpp>
#include <muster/detail/posix/random.hpp>
#include <muster/detail/posix/robust_mutex.hpp>
#include <muster/detail/posix/signal_name.hpp>
#include <muster/detail/posix/socket_transfer.hpp>
#include <muster/detail/posix/thread_id.hpp>
#include <muster/detail/posix/type_name.hpp>
#include <muster/detail/posix/watch.hpp>

namespace muster::detail {

namespace os = posix;

}  // namespace muster::detail
