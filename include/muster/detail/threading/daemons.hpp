// SPDX-License-Identifier: MIT
#pragma once

#include <muster/detail/per_process.hpp>
#include <muster/detail/threading/stop_list.hpp>
#include <muster/stop_token.hpp>

namespace muster::detail {

/// The daemon threads of the calling process. When it ends they are asked to stop, after all else:
/// what pools finish then, and threads that are waited for, may need what daemons do. (Those of shared
/// libraries that have a muster of their own are asked when that library goes; at the end of a copy
/// they are not.)
struct Daemons {
    StopList running;

    /// **Throws**: `std::bad_alloc`.
    static void add(const StopSource& stop) { per_process<Daemons>().running.add(stop); }
    static void remove(const StopSource& stop) noexcept {
        if (Daemons* const daemons = PerProcess<Daemons>::find()) daemons->running.remove(stop);
    }
    static void ask_all() noexcept {
        if (Daemons* const daemons = PerProcess<Daemons>::find()) daemons->running.ask_all();
    }

    struct AsksAtExit {
        constexpr AsksAtExit() = default;
        AsksAtExit(const AsksAtExit&) = delete;
        AsksAtExit& operator=(const AsksAtExit&) = delete;
        ~AsksAtExit() { ask_all(); }
    };
};

/// In each file that knows pools or threads it stands before that file's own static objects. So it is
/// destroyed after them, and after all that was registered since the program began.
inline const Daemons::AsksAtExit asks_daemons_at_exit{};

}  // namespace muster::detail
