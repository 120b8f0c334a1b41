// SPDX-License-Identifier: MIT
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <list>
#include <stdexcept>

namespace chaos {

/// Leaves this process so many bytes beyond what it has now, and no more. Returns what it had.
inline ::rlimit leave_room(std::size_t bytes) {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    ::rlimit before{};
    if (pages == 0 || ::getrlimit(RLIMIT_AS, &before) != 0)
        throw std::runtime_error("cannot learn how much memory a worker has");
    const ::rlim_t most = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + bytes;
    const ::rlimit limit{std::min(most, before.rlim_cur), before.rlim_max};
    if (::setrlimit(RLIMIT_AS, &limit) != 0)
        throw std::runtime_error("cannot set the limit of a worker's memory");
    return before;
}

/// Little memory, until this ends.
class Scarcity {
  public:
    Scarcity() : before_{leave_room(std::size_t{8} << 20)} {}
    Scarcity(const Scarcity&) = delete;
    Scarcity& operator=(const Scarcity&) = delete;
    ~Scarcity() { ::setrlimit(RLIMIT_AS, &before_); }

  private:
    ::rlimit before_;
};

/// Takes all memory that there is. **Throws**: `std::bad_alloc`.
[[noreturn]] inline void fill_memory() {
    const Scarcity scarcity;
    std::list<std::array<char, 4000>> all;
    for (;;) all.emplace_back();
}

}  // namespace chaos
