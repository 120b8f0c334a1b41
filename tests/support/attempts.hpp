// SPDX-License-Identifier: MIT
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace muster::test {

/// A file that counts the attempts made.
class Attempts {
  public:
    Attempts() {
        char name[] = "/tmp/muster-attempts-XXXXXX";
        ::close(::mkstemp(name));
        path_ = name;
    }
    Attempts(const Attempts&) = delete;
    Attempts& operator=(const Attempts&) = delete;
    ~Attempts() { std::filesystem::remove(path_); }

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::uintmax_t made() const { return std::filesystem::file_size(path_); }

    /// For tasks: counts one more, and returns which it is.
    static int next(const std::string& path) {
        std::ofstream(path, std::ios::app) << '.' << std::flush;
        return static_cast<int>(std::filesystem::file_size(path));
    }

  private:
    std::string path_;
};

}  // namespace muster::test
