// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace muster::test {

/// Where processes write down what they saw, for the test that reads it when they have ended. They
/// know it by its path.
class Notes {
  public:
    Notes() {
        const int file = ::mkostemp(path_, O_CLOEXEC);
        if (file == -1) throw std::runtime_error("cannot make a temporary file");
        ::close(file);
    }
    Notes(const Notes&) = delete;
    Notes& operator=(const Notes&) = delete;
    ~Notes() { ::unlink(path_); }

    [[nodiscard]] std::string path() const { return path_; }
    [[nodiscard]] std::vector<std::string> lines() const {
        std::ifstream file(path_);
        std::vector<std::string> all;
        for (std::string line; std::getline(file, line);) all.push_back(line);
        return all;
    }
    /// The only line; else what cannot be one.
    [[nodiscard]] std::string line() const {
        const auto all = lines();
        return all.size() == 1 ? all[0] : "(" + std::to_string(all.size()) + " lines)";
    }

    // What processes call:

    /// Adds a line, whole, in whichever order.
    static void add(const std::string& path, const std::string& line) {
        const std::string whole = line + '\n';
        const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
        (void)!::write(file, whole.data(), whole.size());
        ::close(file);
    }

  private:
    char path_[32] = "/tmp/muster-notes-XXXXXX";
};

}  // namespace muster::test
