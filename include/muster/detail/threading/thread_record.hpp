// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include <muster/detail/call.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/error_handler.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/process/awaited_threads.hpp>
#include <muster/detail/start_thread.hpp>
#include <muster/detail/threading/daemons.hpp>
#include <muster/errors.hpp>
#include <muster/stop_token.hpp>

namespace muster::detail {

/// What a thread runs, with its arguments.
class ThreadBody {
  public:
    ThreadBody() = default;
    ThreadBody(const ThreadBody&) = delete;
    ThreadBody& operator=(const ThreadBody&) = delete;
    virtual ~ThreadBody() = default;
    virtual void run(const StopSource& stop) = 0;
};

template <typename Work>
class ThreadBodyOf final : public ThreadBody {
  public:
    explicit ThreadBodyOf(Work&& work) : work_{std::move(work)} {}
    void run(const StopSource& stop) override { work_(stop); }

  private:
    Work work_;
};

/// `fn(args...)` for one call, with the arguments kept as `submit` keeps them.
template <typename F, typename... Args>
auto bind_for_thread(F&& fn, Args&&... args) {
    using Plan = PlanFor<Results::dropped, F, Args...>;
    return [call = Plan::bind(std::forward<F>(fn), std::forward<Args>(args)...)](
               const StopSource& stop) mutable { (void)call(&stop); };
}

template <typename Work>
std::unique_ptr<ThreadBody> make_body(Work work) {
    return std::make_unique<ThreadBodyOf<Work>>(std::move(work));
}

/// What is known of a thread. Its handles share it, and the thread itself.
///
/// | phase    | meaning                                                                 |
/// |----------|-------------------------------------------------------------------------|
/// | fresh    | was not started                                                         |
/// | starting | is being started                                                        |
/// | running  | runs, and its id is known                                               |
/// | ended    | will run none of the program's code any more                            |
///
/// A copy of the process that another thread forked has the record, but not the thread.
class ThreadRecord {
  public:
    enum Phase : std::uint32_t { fresh, starting, running, ended };

    ThreadRecord(std::string name, bool daemon, std::unique_ptr<ThreadBody> body)
        : name_{std::move(name)}, daemon_{daemon}, body_{std::move(body)} {}
    /// Of the calling thread, which something else has started.
    explicit ThreadRecord(std::string name) : name_{std::move(name)}, daemon_{false} { begin(); }
    ThreadRecord(const ThreadRecord&) = delete;
    ThreadRecord& operator=(const ThreadRecord&) = delete;
    ~ThreadRecord() {
        // Of the process that this is a copy of: it can neither be joined here nor detached.
        if (thread_.joinable()) (void)new (std::nothrow) std::thread(std::move(thread_));
    }

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] bool daemon() const noexcept { return daemon_; }
    [[nodiscard]] const StopSource& stop() const noexcept { return stop_; }

    [[nodiscard]] Phase phase() const noexcept {
        return static_cast<Phase>(phase_.load(std::memory_order_acquire));
    }
    [[nodiscard]] bool alive() const {
        const Phase now = phase();
        return (now == starting || now == running) && !lost();
    }
    /// The system's number; 0 before the start.
    [[nodiscard]] long long id() const {
        if (this == here()) return os::thread_id();
        if (phase() == fresh) return 0;
        (void)reach(running, std::nullopt);
        return id_.load(std::memory_order_relaxed);
    }

    /// Waits for a phase of a thread that is started. False when the deadline passed first.
    [[nodiscard]] bool reach(Phase wanted, const Deadline& deadline) const {
        for (;;) {
            const Phase now = phase();
            if (now >= wanted || lost()) return true;
            if (!os::sleep_on(phase_, now, deadline)) return phase() >= wanted;
        }
    }

    /// Starts `self`. **Throws**: `InvalidStateError` unless it is fresh. `std::system_error` when
    /// there can be no more threads; then it still is.
    static void start(const std::shared_ptr<ThreadRecord>& self) {
        self->generation_.store(os::fork_generation(), std::memory_order_relaxed);
        std::uint32_t seen = fresh;
        if (!self->phase_.compare_exchange_strong(seen, starting, std::memory_order_acq_rel))
            throw InvalidStateError("muster: start() of thread '" + self->name_ +
                                    "', which was started before; a thread runs once");
        const std::lock_guard held(self->thread_lock_);
        try {
            self->enlist();
            self->thread_ = start_thread(&ThreadRecord::serve, self);
        } catch (...) {
            self->delist();
            self->advance(fresh);
            throw;
        }
    }

    /// **Throws**: `InvalidStateError` when there is nothing to wait for, or this is it.
    bool join(const Deadline& deadline) {
        if (phase() == fresh)
            throw InvalidStateError("muster: join() of thread '" + name_ +
                                    "', which was not started; start() it first");
        if (this == here())
            throw InvalidStateError("muster: join() of thread '" + name_ +
                                    "' by itself would never return");
        if (!reach(ended, deadline)) return false;
        if (lost()) return true;
        const std::lock_guard held(thread_lock_);
        if (thread_.joinable()) thread_.join();
        return true;
    }

    /// Nobody will ask about it any more.
    void abandon() {
        if (phase() == fresh || lost()) return;
        if (phase() != ended) stop_.request_stop();
        if (!daemon_ && this != here()) {
            join(std::nullopt);
            return;
        }
        const std::lock_guard held(thread_lock_);
        if (thread_.joinable()) thread_.detach();
    }

    /// Of the calling thread.
    static std::shared_ptr<ThreadRecord> current() {
        if (ThreadRecord* const record = here(); !record) {
            auto made = std::make_shared<ThreadRecord>(os::in_main_thread() ? "MainThread"
                                                                            : os::thread_name());
            if (over()) return made;  // It is asked for by the last destructors of the thread.
            enter(std::move(made));
        } else if (record->generation_.load(std::memory_order_relaxed) != os::fork_generation()) {
            record->begin();  // In a copy of the process, which has this thread alone.
        }
        return own().record;
    }

  private:
    /// Ends the record when the thread ends: after all other thread-local objects of a thread that
    /// enters first of all.
    struct Own {
        std::shared_ptr<ThreadRecord> record;
        Own() = default;
        Own(const Own&) = delete;
        Own& operator=(const Own&) = delete;
        ~Own() {
            over() = true;
            here() = nullptr;
            if (!record) return;
            record->advance(ended);
            record->delist();
        }
    };
    static Own& own() {
        static thread_local Own own;
        return own;
    }
    /// The calling thread's, also while thread-local objects are destroyed.
    static ThreadRecord*& here() noexcept {
        static thread_local constinit ThreadRecord* here = nullptr;
        return here;
    }
    static bool& over() noexcept {
        static thread_local constinit bool over = false;
        return over;
    }
    static void enter(std::shared_ptr<ThreadRecord> record) {
        here() = record.get();
        own().record = std::move(record);
    }

    static void serve(const std::shared_ptr<ThreadRecord>& self) noexcept {
        enter(self);
        os::set_thread_name(self->name_);
        self->begin();
        const std::unique_ptr<ThreadBody> body = std::move(self->body_);
        try {
            body->run(self->stop_);
        } catch (...) {
            self->report(std::current_exception());
        }
    }

    /// Among those who are asked to stop when the process ends. **Throws**: `std::bad_alloc`.
    void enlist() {
        if (daemon_)
            Daemons::add(stop_);
        else
            awaited_.begin();
    }
    void delist() noexcept {
        if (daemon_)
            Daemons::remove(stop_);
        else
            awaited_.end();
    }

    void begin() {
        id_.store(os::thread_id(), std::memory_order_relaxed);
        generation_.store(os::fork_generation(), std::memory_order_relaxed);
        advance(running);
    }
    void advance(Phase phase) noexcept {
        phase_.store(phase, std::memory_order_release);  // Pairs with the load in phase().
        os::wake_all(phase_);
    }
    void report(const std::exception_ptr& error) const noexcept {
        try {
            const std::string line =
                "muster: thread '" + name_ + "' ended by an exception: " + describe(error) + '\n';
            std::fputs(line.c_str(), stderr);
        } catch (...) {  // No memory for the words.
        }
    }

    /// Whether it is a thread of the process that this one is a copy of.
    [[nodiscard]] bool lost() const {
        return this != here() &&
               generation_.load(std::memory_order_relaxed) != os::fork_generation();
    }

    const std::string name_;
    const bool daemon_;
    std::unique_ptr<ThreadBody> body_;
    const StopSource stop_;
    std::atomic<std::uint32_t> phase_{fresh};
    std::atomic<long long> id_{0};
    std::atomic<std::uint64_t> generation_{0};
    AwaitedThread awaited_{stop_};
    std::mutex thread_lock_;
    std::thread thread_;
};

}  // namespace muster::detail
