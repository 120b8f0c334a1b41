// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include <muster/detail/process/remote_call.hpp>
#include <muster/detail/shared_state.hpp>
#include <muster/detail/task_owner.hpp>
#include <muster/task_options.hpp>

namespace muster::detail {

class ProcessEngine;
struct WorkerHandle;

/// How a task, or one attempt at it, ended.
enum class Outcome : std::uint8_t { completed, failed, timed_out };

/// A task that runs in another process, as the engine sees it: without its result type.
///
/// Where it is (`place`, `worker`, `number`) is written and read under the engine's lock. Whoever
/// takes it out of its place under that lock has the sole right to settle it.
class RemoteTask {
  public:
    enum class Place : std::uint8_t { nowhere, waiting, delayed, handed_out };

    RemoteTask() = default;
    RemoteTask(const RemoteTask&) = delete;
    RemoteTask& operator=(const RemoteTask&) = delete;

    virtual StateBase& state() noexcept = 0;
    /// Reads the value and keeps it. **Throws** what decoding throws; then `keep_error`.
    virtual void keep_value(std::span<const std::byte> bytes) = 0;
    virtual void keep_error(std::exception_ptr error) noexcept = 0;

    /// Counts how long an attempt waited and ran.
    void count_attempt(std::int64_t began_ns, std::int64_t ended_ns, LedgerCell& cell) noexcept {
        if (!std::exchange(attempted, true)) cell.add(cell.waiting_ns, began_ns - submitted_ns);
        cell.add(cell.running_ns, ended_ns - began_ns);
    }
    /// The same for one that ends now, by the end of its worker.
    void count_attempt(Clock::time_point began, LedgerCell& cell) noexcept {
        const auto nanoseconds = [](Clock::time_point when) {
            using std::chrono::nanoseconds;
            return std::chrono::duration_cast<nanoseconds>(when.time_since_epoch()).count();
        };
        count_attempt(nanoseconds(began), nanoseconds(Clock::now()), cell);
    }

    [[nodiscard]] std::string title() const {
        return name.empty() ? "a task" : "task '" + name + "'";
    }

    EncodedCall call;
    std::string name;
    std::uint64_t id = 0;  ///< In its pool; also its place among equals.
    std::int64_t submitted_ns = 0;
    std::optional<std::chrono::nanoseconds> timeout;
    std::size_t retries = 0;  ///< How many further attempts are left.
    std::chrono::nanoseconds retry_delay{0};
    std::exception_ptr last_error;  ///< Of the attempt before, if there was one.
    Outcome last_outcome = Outcome::failed;
    int priority = 0;
    bool attempted = false;
    bool posted = false;
    bool takes_stop = false;
    std::atomic<bool> stop_requested{false};
    bool has_attempts = false;  ///< More than one: asked to stop, it is not tried again.
    Place place = Place::nowhere;
    WorkerHandle* worker = nullptr;
    std::uint64_t number = 0;  ///< Which of its worker's turns it has.

  protected:
    ~RemoteTask() = default;
};

/// What the engine does for a task; behind an interface, because a task's futures may be used in
/// another library than the engine was made in.
class RemoteOwner : public TaskOwner {
  public:
    using TaskOwner::TaskOwner;

    virtual bool cancel_remote(RemoteTask& task) noexcept = 0;
    virtual bool stop_remote(RemoteTask& task) noexcept = 0;
    virtual bool kill_remote(RemoteTask& task) noexcept = 0;
    [[nodiscard]] virtual bool begun(const RemoteTask& task) const noexcept = 0;
    virtual void free_record(const EncodedCall& call) noexcept = 0;
    /// Runs the callbacks of a task that is done if they wait for this thread. False if they do not.
    virtual bool run_callbacks_here(const StateBase& task) noexcept = 0;

  protected:
    ~RemoteOwner() override = default;
};

/// The same with its result.
template <typename R>
class RemoteTaskOf final : public State<R>, public RemoteTask {
  public:
    using Result = R;

    RemoteTaskOf(RemoteOwner& owner, EncodedCall&& encoded, bool with_token, bool copyable)
        : copyable_{copyable}, encoder_{&owner} {
        call = std::move(encoded);
        takes_stop = with_token;
    }

    void join(RemoteOwner& owner) noexcept {
        owner_ = &owner;
        submitted_ns =
            std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
                .count();
    }
    [[nodiscard]] std::string title() const override { return RemoteTask::title(); }
    void set_options(TaskOptions&& options) {
        if (options.retries != 0 && !copyable_)
            throw std::invalid_argument(
                "muster: a task with .retries needs a callable and arguments that can be copied, "
                "for each attempt gets copies");
        name = std::move(options.name);
        priority = options.priority;
        timeout = options.timeout;
        retries = options.retries;
        has_attempts = retries != 0;
        retry_delay = std::max(options.retry_delay, std::chrono::nanoseconds(0));
    }
    void set_posted() noexcept { posted = true; }

    StateBase& state() noexcept override { return *this; }

    void keep_value(std::span<const std::byte> bytes) override {
        if constexpr (std::is_void_v<R>) {
            this->emplace_value();
        } else {
            Decoder in(bytes);
            R value = detail::decode<R>(in);
            in.template expect_end<R>();
            this->emplace_value(std::move(value));
        }
    }
    void keep_error(std::exception_ptr error) noexcept override {
        this->emplace_error(std::move(error));
    }

    bool wait(const Deadline& deadline) noexcept override {
        return this->done() || owner_->await(*this, deadline);
    }
    bool cancel() noexcept override {
        if (!this->done() && owner_->cancel_remote(*this)) return true;
        const Phase now = this->phase();
        return now == Phase::cancelling || now == Phase::cancelled;
    }
    bool request_stop() noexcept override {
        return (takes_stop || has_attempts) && !this->done() && owner_->stop_remote(*this);
    }
    bool kill() noexcept override {
        if (!this->done() && owner_->kill_remote(*this)) return true;
        const Phase now = this->phase();
        return now == Phase::cancelling || now == Phase::cancelled;
    }
    [[nodiscard]] bool running() const noexcept override {
        return this->phase() == Phase::settling ||
               (this->phase() == Phase::pending && owner_->begun(*this));
    }
    // A callback that waits for a link, or for what joins several, may have to run that itself.
    bool help() noexcept override {
        return this->done() && owner_ && owner_->run_callbacks_here(*this);
    }
    Gate* gate_here() noexcept override { return owner_ ? owner_->gate_here() : nullptr; }
    [[nodiscard]] bool goes_on_elsewhere() const noexcept override {
        return !this->done() || !owner_ || !owner_->gate_here();
    }
    [[nodiscard]] TaskOwner* owner() const noexcept override { return owner_; }

  private:
    ~RemoteTaskOf() override {
        drop_work();
        if (owner_) owner_->release();
    }

    /// Called once the record is nobody's: before the outcome is published.
    void drop_work() noexcept override {
        if (call.bytes != 0) encoder_->free_record(std::exchange(call, {}));
    }

    const bool copyable_;
    RemoteOwner* const encoder_;    // In whose memory the record lies.
    RemoteOwner* owner_ = nullptr;  // Once it is accepted.
};

}  // namespace muster::detail
