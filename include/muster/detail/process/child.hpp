// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include <muster/detail/deadline.hpp>
#include <muster/detail/family/sweep.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/process/children.hpp>
#include <muster/detail/process/crash_report.hpp>
#include <muster/detail/process/death_watch.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/remote_call.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/errors.hpp>
#include <muster/multiprocessing/process_options.hpp>

namespace muster::detail {

/// The parent's end of one `Process`.
///
/// | phase   | meaning                                                           |
/// |---------|-------------------------------------------------------------------|
/// | fresh   | was not started, and has the encoded call                         |
/// | running | was started; its call is its own                                  |
/// | ended   | is reaped, and how it ended is known if the system has told       |
///
/// A copy of this process, made by `fork`, may only ask for what never changes.
///
/// Thread safety: all members; others wait until `start` has returned.
class Child : public std::enable_shared_from_this<Child>, private Mortal {
  public:
    explicit Child(multiprocessing::ProcessOptions&& options) : options_{std::move(options)} {
        if (options_.name.empty())
            options_.name = "Process-" + std::to_string(children_.next_number());
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    virtual ~Child() {
        if (!children_.are_own()) return;
        children_.deaths().remove(*this);
        free_call();
    }

    /// Keeps what is to run. Requires: it was encoded in `memory()`.
    void keep(EncodedCall call) noexcept { call_ = std::move(call); }
    [[nodiscard]] PoolMemory& memory() noexcept { return children_.memory(); }
    [[nodiscard]] ModuleTable& modules() noexcept { return children_.modules(); }

    [[nodiscard]] const std::string& name() const noexcept { return options_.name; }
    [[nodiscard]] bool daemon() const noexcept { return options_.daemon; }
    /// 0 before the start.
    [[nodiscard]] int pid() const noexcept { return pid_.load(std::memory_order_relaxed); }

    /// **Throws**: `InvalidStateError`, `EntryGuardError`, `WorkerCrashed`, `std::system_error`;
    /// then it is as fresh as before.
    virtual void start() {
        // One that is not past its guard would start processes, and these others, and so on.
        if (is_before_guard()) {
            send_to_parent(Packet::Kind::unguarded);
            os::end_process(1);
        }
        refuse_copies("start()");
        for (const auto& other : children_.started()) (void)other->alive();  // Reaps the ended.
        DeathWatch::Start starting(children_.deaths());
        {
            const std::lock_guard held(mutex_);
            if (phase_ != Phase::fresh)
                throw InvalidStateError("muster: start() of process '" + name() +
                                        "', which was started before; a process runs once");
            launch();
            free_call();
        }
        children_.add(weak_from_this());
        starting.succeeded(*this);
    }

    virtual bool join(const Deadline& deadline) {
        refuse_copies("join()");
        std::unique_lock held = lock_started("join()");
        while (!ended()) {
            if (expired(deadline)) return false;
            os::Watch watch;
            const Deadline look_again = watch_end(watch);
            held.unlock();
            watch.wait(earlier(deadline, look_again));
            held.lock();
        }
        return true;
    }

    virtual bool alive() {
        refuse_copies("is_alive()");
        const std::lock_guard held(mutex_);
        return phase_ != Phase::fresh && !ended();
    }

    virtual std::optional<int> exit_code() {
        refuse_copies("exit_code()");
        const std::lock_guard held(mutex_);
        if (phase_ == Phase::fresh || !ended()) return std::nullopt;
        return status_.signal ? std::optional<int>(-*status_.signal) : status_.exit_code;
    }

    virtual void send_signal(int signal) {
        refuse_copies("a signal");
        const std::unique_lock held = lock_started("a signal");
        if (!ended()) process_.kill(signal);
    }

    virtual int sentinel() {
        refuse_copies("sentinel()");
        const std::unique_lock held = lock_started("sentinel()");
        return process_.end_fd() != -1 ? process_.end_fd() : lifeline_.get();
    }

    virtual bool request_stop() {
        refuse_copies("request_stop()");
        const std::lock_guard held(mutex_);
        if (std::exchange(stop_requested_, true)) return false;
        if (phase_ == Phase::running) (void)send_stop(lifeline_.get(), 0);
        return true;
    }

    /// Its handle goes.
    virtual void abandon() {
        if (!children_.are_own() || !alive()) return;
        if (!daemon()) {
            (void)request_stop();
            (void)join(std::nullopt);
            return;
        }
        constexpr std::chrono::seconds patience{1};
        send_signal(SIGTERM);
        if (join(deadline_after(patience))) return;
        {
            const std::lock_guard held(mutex_);
            if (!ended()) process_.kill_group();
        }
        (void)join(std::nullopt);
    }

  private:
    enum class Phase { fresh, running, ended };

    bool look(os::Watch& watch, Deadline& look_again) noexcept override {
        const std::lock_guard held(mutex_);
        if (ended()) return true;
        look_again = earlier(look_again, watch_end(watch));
        return false;
    }

    void refuse_copies(const char* what) const {
        if (!children_.are_own())
            throw InvalidStateError("muster: " + std::string(what) + " for process '" + name() +
                                    "', which is a child of the process that this one is a copy "
                                    "of; only its parent can do that");
    }
    [[nodiscard]] std::unique_lock<std::mutex> lock_started(const char* what) {
        std::unique_lock held(mutex_);
        if (phase_ == Phase::fresh)
            throw InvalidStateError("muster: " + std::string(what) + " for process '" + name() +
                                    "', which was not started; start() it first");
        return held;
    }

    // All that follows requires that mutex_ is held.

    void launch() {
        const os::Fd memory = os::anonymous_memory("muster-process", result_ring_offset);
        const os::Mapping mapping = os::Mapping::read_write(memory, 0, result_ring_offset);
        mapping.keep_from_copies();
        auto& page = *new (mapping.data()) WorkerPage;
        introduce_parent(page);
        page.pool_bytes = children_.memory().bytes();
        page.worker_bytes = result_ring_offset;
        page.call = call_.record;
        page.daemon = daemon() ? 1 : 0;
        copy_text(page.name, name());
        if (stop_requested_) children_.memory().at<Record>(call_.record)->stop_requested.store(1);
        Children::Launched launched =
            children_.launch(options_.start_method, options_.start_timeout, page, memory);
        process_ = std::move(launched.process);
        lifeline_ = std::move(launched.lifeline);
        pid_.store(static_cast<int>(process_.pid()), std::memory_order_relaxed);
        phase_ = Phase::running;
        try {
            expect_begin(page);
        } catch (...) {
            withdraw();
            throw;
        }
    }

    /// Waits until it has its arguments, or has ended behind the guard.
    void expect_begin(const WorkerPage& page) {
        const Deadline limit = deadline_after(options_.start_timeout);
        const auto past_guard = [&] {
            return page.guard_passed.load(std::memory_order_seq_cst) != 0;
        };
        for (;;) {
            os::Watch watch;
            const std::size_t lifeline = watch.add(lifeline_.get());
            const Deadline look_again = watch_end(watch);
            // At the limit it may just have passed: then it takes as long as its arguments take.
            watch.wait(earlier(past_guard() ? Deadline() : limit, look_again));
            if (watch.ready(lifeline)) {
                if (const auto packet = receive_from_worker(lifeline_.get())) return judge(*packet);
                wait_for_end();
            }
            if (ended()) {
                // Its last words may have come after the look at its lifeline.
                if (os::readable(lifeline_.get()))
                    if (const auto packet = receive_from_worker(lifeline_.get()))
                        return judge(*packet);
                if (past_guard()) return;
                throw_missing_guard();
            }
            if (!past_guard() && expired(limit))
                throw EntryGuardError(missing_guard(os::own_executable()));
        }
    }

    void judge(const Packet& packet) const {
        if (packet.kind != Packet::Kind::ready)
            throw_refused(packet, "process '" + name() + "'", pid(), os::own_executable());
    }

    [[noreturn]] void throw_missing_guard() const {
        // Without a signal its main has ended, or another program's. (Where nobody is told how
        // children end that is the likeliest.) But what is a copy has been past its guard.
        if (!status_.signal && options_.start_method == StartMethod::spawn)
            throw EntryGuardError(missing_guard(os::own_executable()));
        const std::optional<int> code =
            status_.signal ? std::optional<int>(-*status_.signal) : status_.exit_code;
        throw WorkerCrashed("muster: process '" + name() + "' (pid " + std::to_string(pid()) +
                                ") " + describe_end(status_) +
                                " before it reached muster::entry_guard()",
                            pid(), code, status_.signal);
    }

    /// Ends what could not be started. It may be tried again.
    void withdraw() noexcept {
        if (!ended()) {
            process_.kill_group();
            wait_for_end();
        }
        process_ = {};
        lifeline_ = {};
        status_ = {};
        pid_.store(0, std::memory_order_relaxed);
        phase_ = Phase::fresh;
    }

    void wait_for_end() noexcept {
        while (!ended()) {
            os::Watch watch;
            const Deadline look_again = watch_end(watch);
            watch.wait(look_again);
        }
    }

    /// Whether it has ended. If so, it is reaped.
    bool ended() noexcept {
        if (phase_ == Phase::ended) return true;
        const auto status = children_.poll_exit(process_);
        if (!status) return false;
        status_ = *status;
        phase_ = Phase::ended;
        sweep_dead_processes();
        return true;
    }

    /// Adds what is readable when it has ended. Returns when it has to be looked for without that.
    Deadline watch_end(os::Watch& watch) const {
        constexpr std::chrono::milliseconds soon{5};
        const int fd = process_.end_fd();
        // Of copies of another process it is known that they ended before it is known how.
        const bool told_later = fd != -1 && process_.reaper() && os::pidfd_ended(fd);
        if (fd != -1 && !told_later) watch.add(fd);
        return fd == -1 || told_later ? deadline_after(soon) : std::nullopt;
    }

    void free_call() noexcept {
        if (call_.bytes != 0) children_.memory().free(call_.record, call_.bytes);
        call_ = {};
    }

    Children& children_ = Children::own();
    multiprocessing::ProcessOptions options_;
    std::atomic<int> pid_{0};
    std::mutex mutex_;
    Phase phase_ = Phase::fresh;
    bool stop_requested_ = false;
    EncodedCall call_;
    os::ChildProcess process_;
    os::PrivateFd lifeline_;
    os::ExitStatus status_;
};

#ifdef MUSTER_SEPARATE_COMPILATION
std::shared_ptr<Child> make_child(multiprocessing::ProcessOptions&& options);  // <muster/src.hpp>.
#else
inline std::shared_ptr<Child> make_child(multiprocessing::ProcessOptions&& options) {
    return std::make_shared<Child>(std::move(options));
}
#endif

}  // namespace muster::detail
