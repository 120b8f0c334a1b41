// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "belongings.hpp"
#include "support/program.hpp"

namespace chaos {

/// A process that others started, found in /proc.
struct Descendant {
    ::pid_t pid = -1;
    bool has_children = false;
};

/// All that live below a process, it itself excepted.
inline void add_descendants(::pid_t pid, std::vector<Descendant>& found) {
    std::vector<::pid_t> children;
    try {
        children = muster::test::children_of(std::to_string(pid));
    } catch (const std::exception&) {  // It has ended meanwhile.
    }
    for (const ::pid_t child : children) {
        const char state = state_of(child);
        if (state == 'Z' || state == 'X' || state == ' ') continue;
        const std::size_t index = found.size();
        found.push_back({child});
        add_descendants(child, found);
        found[index].has_children = found.size() > index + 1;
    }
}
inline std::vector<Descendant> descendants_of(::pid_t pid) {
    std::vector<Descendant> found;
    add_descendants(pid, found);
    return found;
}

/// The parent of a process; -1 if it is gone.
inline ::pid_t parent_of(::pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(')');
    return name_end == std::string::npos ? -1 : std::stoi(text.substr(name_end + 4));
}

/// Means one process for ever, so that no signal reaches a later one of the same number.
class Victim {
  public:
    /// Empty if it is no descendant of `ancestor`'s any more.
    Victim(::pid_t pid, ::pid_t ancestor) : fd_{muster::test::open_process(pid)} {
        ::pid_t parent = pid;
        while (parent > 1 && parent != ancestor) parent = parent_of(parent);
        if (parent != ancestor) close();
    }
    Victim(Victim&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    Victim& operator=(Victim other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Victim() { close(); }

    explicit operator bool() const { return fd_ != -1; }
    void send(int signal) const { ::syscall(SYS_pidfd_send_signal, fd_, signal, nullptr, 0U); }

  private:
    void close() {
        if (fd_ != -1) ::close(std::exchange(fd_, -1));
    }

    int fd_ = -1;
};

}  // namespace chaos
