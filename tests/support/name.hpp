// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "support/family.hpp"

namespace muster::test {

/// A name of a test's own; its files are gone at the latest when this goes.
class Name {
  public:
    Name() = default;
    Name(const Name&) = delete;
    Name& operator=(const Name&) = delete;
    ~Name() {
        std::filesystem::remove(memory());
        std::filesystem::remove(lock());
    }

    operator const std::string&() const { return text_; }
    [[nodiscard]] std::string memory() const { return shm_file("memory", text_); }
    [[nodiscard]] std::string lock() const { return shm_file("lock", text_); }
    [[nodiscard]] bool has_memory() const { return std::filesystem::exists(memory()); }
    [[nodiscard]] bool has_lock() const { return std::filesystem::exists(lock()); }

  private:
    static inline int count_ = 0;
    std::string text_ = "test-" + std::to_string(::getpid()) + "-" + std::to_string(count_++);
};

}  // namespace muster::test
