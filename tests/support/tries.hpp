// SPDX-License-Identifier: MIT
#pragma once

#include <muster/future.hpp>
#include <muster/stop_token.hpp>

#include <atomic>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "support/task_gate.hpp"

namespace muster::test {

/// Counts the attempts of tasks, which know it by its path. One attempt at a time.
class Tries {
  public:
    Tries() {
        static std::atomic<int> number{0};
        path_ = gate_.path() + "/tries" + std::to_string(number++);
    }
    ~Tries() { std::filesystem::remove(path_); }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int count() const { return size_of(path_); }

    /// The number of this attempt, from 1.
    static int next(const std::string& path) {
        std::ofstream(path, std::ios::app) << 'x';
        return size_of(path);
    }

  private:
    static int size_of(const std::string& path) {
        std::error_code none_yet;
        const auto size = std::filesystem::file_size(path, none_yet);
        return none_yet ? 0 : static_cast<int>(size);
    }
    TaskGate gate_;  // For its folder.
    std::string path_;
};

/// Fails until it is called for the `wanted`th time.
inline int succeed_at(const std::string& path, int wanted) {
    const int number = Tries::next(path);
    if (number < wanted) throw std::out_of_range("attempt " + std::to_string(number));
    return number;
}

/// Runs until it is asked to stop, but no more from the `wanted`th time on.
inline int until_stopped_before(StopToken stop, const std::string& path, int wanted) {
    const int number = Tries::next(path);
    while (number < wanted && !stop.stop_requested()) std::this_thread::yield();
    return stop.stop_requested() ? -number : number;
}

/// Waits until the first attempt at a task has failed, and the delay before the next has begun.
inline void await_delay(const Future<int>& task, const Tries& tries) {
    while (!task.done() && (tries.count() == 0 || task.running())) std::this_thread::yield();
}

inline std::string message_of(const Future<int>& task) {
    try {
        return std::to_string(task.result());
    } catch (const std::exception& error) {
        return error.what();
    }
}

}  // namespace muster::test
