// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/stat.h>
#include <stdexcept>
#include <string>

namespace muster::test {

/// Where tasks tell the test that they are there, and wait until it lets them go on: the same for
/// tasks in other threads and in other processes, which know it by its path.
///
///     TaskGate gate;
///     auto task = pool.submit(TaskGate::pass, gate.path(), 'a');
///     CHECK(gate.arrival() == 'a');  // It runs now, and waits.
///     gate.open();
///     CHECK(task.result() == 'a');
///
/// It opens at the latest when it is destroyed: declare it after the executor.
class TaskGate {
  public:
    TaskGate() {
        char folder[] = "/tmp/muster-gate-XXXXXX";
        if (!::mkdtemp(folder)) throw std::runtime_error("cannot make a temporary folder");
        path_ = folder;
        arrivals_ = make_pipe(path_ + "/arrivals");
        opening_ = make_pipe(path_ + "/opening");
    }
    TaskGate(const TaskGate&) = delete;
    TaskGate& operator=(const TaskGate&) = delete;
    ~TaskGate() {
        open();
        ::close(arrivals_);
        ::unlink((path_ + "/arrivals").c_str());
        ::rmdir(path_.c_str());
    }

    [[nodiscard]] const std::string& path() const { return path_; }

    /// Waits for the next task to arrive, and returns its letter.
    char arrival() const {
        char letter = '?';
        ::pollfd one{arrivals_, POLLIN, 0};
        if (::poll(&one, 1, 200'000) != 1) throw std::runtime_error("nobody arrives");
        if (::read(arrivals_, &letter, 1) != 1) throw std::runtime_error("nobody can arrive");
        return letter;
    }
    /// The letters of those that have arrived and were not returned yet.
    [[nodiscard]] std::string arrived() const {
        std::string letters;
        ::pollfd one{arrivals_, POLLIN, 0};
        while (::poll(&one, 1, 0) == 1) letters += arrival();
        return letters;
    }
    /// Lets all go on, also those that arrive later.
    void open() {
        if (opening_ == -1) return;
        ::unlink((path_ + "/opening").c_str());
        ::close(opening_);  // No writer is left: readers see the end.
        opening_ = -1;
    }

    // What tasks call:

    /// Tells the test that the task is there.
    static char arrive(const std::string& path, char letter) {
        // Also for reading: with a test that has gone, it must neither wait for one nor be killed.
        const int fd = ::open((path + "/arrivals").c_str(), O_RDWR | O_CLOEXEC);
        if (fd == -1) return letter;
        if (::write(fd, &letter, 1) != 1) letter = '?';
        ::close(fd);
        return letter;
    }
    /// Waits until the gate is open.
    static void wait(const std::string& path) {
        const int fd = ::open((path + "/opening").c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd == -1) return;  // It is open already.
        ::fcntl(fd, F_SETFL, 0);
        char nothing = 0;
        while (::read(fd, &nothing, 1) > 0) {
        }
        ::close(fd);
    }
    /// Both.
    static char pass(const std::string& path, char letter) {
        arrive(path, letter);
        wait(path);
        return letter;
    }

  private:
    // Open for reading and writing: tasks need not be waited for, and come and go as they like.
    static int make_pipe(const std::string& path) {
        const int fd =
            ::mkfifo(path.c_str(), 0600) == 0 ? ::open(path.c_str(), O_RDWR | O_CLOEXEC) : -1;
        if (fd == -1) throw std::runtime_error("cannot make " + path);
        return fd;
    }

    std::string path_;
    int arrivals_ = -1;
    int opening_ = -1;
};

}  // namespace muster::test
