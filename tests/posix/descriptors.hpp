// SPDX-License-Identifier: MIT
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace muster::test {

inline bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

/// The descriptors of a process ("self" or an id), but for the one that looks.
inline std::set<int> open_descriptors(const std::string& process = "self") {
    std::set<int> found;
    ::DIR* const directory = ::opendir(("/proc/" + process + "/fd").c_str());
    if (directory == nullptr) return found;
    while (const ::dirent* entry = ::readdir(directory)) {
        if (entry->d_name[0] == '.') continue;
        const int fd = std::atoi(entry->d_name);
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
