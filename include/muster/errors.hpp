// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

namespace muster {

/// The base of every error that is muster's own verdict. Failed system calls are
/// `std::system_error`, and a task's exception keeps its own type.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// The task was cancelled before it began, or killed while it ran, so there is no result.
class CancelledError : public Error {
  public:
    using Error::Error;
    CancelledError() : Error("muster: the task was cancelled before it began, or killed") {}
};

/// The time given to a wait is up. What was waited for goes on, and you may wait again.
class TimeoutError : public Error {
  public:
    using Error::Error;
};

/// The object is not in a state in which this call makes sense, such as a result set twice.
class InvalidStateError : public Error {
  public:
    using Error::Error;
};

/// The promise was destroyed before it was given a result.
class BrokenPromise : public Error {
  public:
    using Error::Error;
};

/// The executor was shut down and takes no more tasks.
class ShutdownError : public Error {
  public:
    using Error::Error;
};

/// The executor can run nothing any more, because its workers cannot start.
class BrokenExecutor : public Error {
  public:
    using Error::Error;
};

/// The initializer of a thread pool's worker threw. The message holds what it said.
class BrokenThreadPool : public BrokenExecutor {
  public:
    using BrokenExecutor::BrokenExecutor;
};

/// A process pool's workers cannot start, or its initializer threw. The message says which.
class BrokenProcessPool : public BrokenExecutor {
  public:
    using BrokenExecutor::BrokenExecutor;
};

/// A worker process did not come past `muster::entry_guard()`, or is another build of the program.
class EntryGuardError : public BrokenProcessPool {
  public:
    using BrokenProcessPool::BrokenProcessPool;
};

/// The worker process that ran this task ended before the task did. Other tasks are not touched.
class WorkerCrashed : public Error {
  public:
    WorkerCrashed(const std::string& message, int pid, std::optional<int> exit_code,
                  std::optional<int> signal)
        : Error(message), pid_{pid}, exit_code_{exit_code}, signal_{signal} {}

    /// The process id that the worker had.
    [[nodiscard]] int pid() const noexcept { return pid_; }

    /// The exit code; negative when a signal ended the worker (`-9` for SIGKILL); empty when the
    /// system did not tell, because the application itself reaps or ignores its children.
    [[nodiscard]] std::optional<int> exit_code() const noexcept { return exit_code_; }

    /// The number of the signal that ended the worker, if one did.
    [[nodiscard]] std::optional<int> signal() const noexcept { return signal_; }

  private:
    int pid_;
    std::optional<int> exit_code_;
    std::optional<int> signal_;
};

/// The task ran longer than its `TaskOptions::timeout`.
class TaskTimeout : public Error {
  public:
    using Error::Error;
};

/// An exception thrown in a worker process whose type cannot be rebuilt here.
/// `what()` is the original's text.
class RemoteError : public Error {
  public:
    RemoteError(std::string type_name, const std::string& what)
        : Error(what), type_name_{std::move(type_name)} {}

    /// The name of the type that was thrown in the worker, as a C++ programmer would write it.
    [[nodiscard]] const std::string& type_name() const noexcept { return type_name_; }

  private:
    std::string type_name_;
};

/// A value could not be turned into bytes, or bytes into the value asked for.
class SerializationError : public Error {
  public:
    using Error::Error;
};

/// The queue was shut down and takes no more items.
class QueueShutDown : public Error {
  public:
    using Error::Error;
};

/// The barrier was aborted or reset, or a participant timed out or died.
class BrokenBarrierError : public Error {
  public:
    using Error::Error;
};

/// The holder of a lock died with it. Call `recover()` to mend what the lock guards.
class AbandonedLock : public Error {
  public:
    using Error::Error;
};

/// The other end of a connection is closed and everything it sent has been read.
class EndOfFile : public Error {
  public:
    using Error::Error;
};

}  // namespace muster
