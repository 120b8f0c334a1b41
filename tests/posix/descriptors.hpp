// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "support/program.hpp"

namespace muster::test {

inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

/// What a sanitizer has opened to talk to its symbolizer: "pipe:[number]".
inline std::set<std::string> pipes_to_symbolizers(const std::string& process) {
    std::set<std::string> pipes;
    for (const ::pid_t child : all_children_of(process)) {
        if (!is_symbolizer(child)) continue;
        for (const char* const stream : {"/fd/0", "/fd/1"}) {
            std::error_code ended;
            pipes.insert(
                std::filesystem::read_symlink("/proc/" + std::to_string(child) + stream, ended));
        }
    }
    return pipes;
}

/// The descriptors of a process ("self" or an id), but for the one that looks, and a sanitizer's:
/// it may start its symbolizer at any time.
inline std::set<int> open_descriptors(const std::string& process = "self") {
    const std::set<std::string> foreign = pipes_to_symbolizers(process);
    std::set<int> found;
    ::DIR* const directory = ::opendir(("/proc/" + process + "/fd").c_str());
    if (directory == nullptr) return found;
    while (const ::dirent* entry = ::readdir(directory)) {
        if (entry->d_name[0] == '.') continue;
        const int fd = std::atoi(entry->d_name);
        std::error_code closed;
        if (foreign.contains(
                std::filesystem::read_symlink("/proc/" + process + "/fd/" + entry->d_name, closed)))
            continue;
        if (process != "self" || fd != ::dirfd(directory)) found.insert(fd);
    }
    ::closedir(directory);
    return found;
}

/// As long as it lives, descriptors 0 to 2 are closed.
class StandardStreamsClosed {
  public:
    StandardStreamsClosed() {
        std::cout.flush();  // What waits could not be written, nor anything after it.
        for (int fd = 0; fd < 3; ++fd) {
            copies_.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, 200));
            ::close(fd);
        }
    }
    StandardStreamsClosed(const StandardStreamsClosed&) = delete;
    StandardStreamsClosed& operator=(const StandardStreamsClosed&) = delete;
    ~StandardStreamsClosed() {
        for (int fd = 0; fd < 3; ++fd) {
            const int copy = copies_[static_cast<std::size_t>(fd)];
            if (copy == -1) continue;
            ::dup2(copy, fd);
            ::close(copy);
        }
    }

  private:
    std::vector<int> copies_;
};

}  // namespace muster::test
