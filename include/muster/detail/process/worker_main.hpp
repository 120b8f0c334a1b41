// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <muster/detail/error_handler.hpp>
#include <muster/detail/family/family_memory.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/process/child_main.hpp>
#include <muster/detail/process/exception_transport.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/remote_call.hpp>
#include <muster/detail/process/result_writer.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/start_thread.hpp>
#include <muster/detail/threading/daemons.hpp>

namespace muster::detail {

/// A worker process: runs what its parent hands out, until there is no more or no parent.
class WorkerMain {
  public:
    explicit WorkerMain(const WorkerLink& link)
        : link_{link},
          page_{*link.page},
          pool_memory_{
              os::Mapping::read_only(link.fd(Inherited::pool_memory), 0, page_.pool_bytes)},
          worker_memory_{
              os::Mapping::read_write(link.fd(Inherited::worker_memory), 0, page_.worker_bytes)},
          bell_{os::Fd(link.fd(Inherited::bell))},
          leader_bell_{os::Fd(link.fd(Inherited::leader_bell))},
          ring_{at<TaskRing>(page_.task_ring)},
          modules_{pool_memory_.data()},
          large_{page_, link.fd(Inherited::worker_memory), worker_memory_.data(),
                 page_.worker_bytes},
          result_{large_},
          results_{page_, worker_memory_.data() + result_ring_offset, pool(), bell_, leader_bell_} {
    }

    /// Hears requests to stop from now on, and ends this process with its parent.
    void watch_parent() {
        start_thread([this] {
            Packet packet;
            try {
                while (receive_packet(link_.fd(Inherited::lifeline), packet)) {
                    if (packet.kind == Packet::Kind::stop) request_stop(packet.id);
                }
            } catch (...) {  // The lifeline is broken: the same as cut.
            }
            os::end_own_group();  // The parent is gone, however it ended.
        }).detach();
    }

    /// Serves. Returns when the parent says that no further task comes.
    void serve() {
        initialize();
        send_to_parent(Packet::Kind::ready);
        for (std::uint64_t number = 0; wait_for(number); ++number)
            if (claim(number)) run(number, at<Record>(ring_.records[number % ring_slots]));
    }

  private:
    template <typename T>
    const T& at(Offset offset) const noexcept {
        return *reinterpret_cast<const T*>(pool_memory_.data() + offset);
    }
    [[nodiscard]] const PoolPage& pool() const noexcept { return at<PoolPage>(0); }

    /// Waits until the task `number` is handed out. False when none will come.
    bool wait_for(std::uint64_t number) {
        const auto handed_out = [&] {
            return ring_.head.load(std::memory_order_seq_cst) != number;
        };
        const auto quits = [&] { return ring_.quit.load(std::memory_order_seq_cst) != 0; };
        const auto either = [&] { return handed_out() || quits(); };
        while (!either())
            if (!spin_until(either)) sleep_until_rung(page_, either);
        return handed_out();
    }

    /// Begins the turn `number`. False, and the turn is over, when its task was recalled.
    bool claim(std::uint64_t number) noexcept {
        // Before the claim: who sees that the task is begun sees since when, or later.
        page_.begun_ns.store(now(), std::memory_order_relaxed);
        std::atomic<std::uint64_t>& word = page_.claims[number % ring_slots];
        for (;;) {
            std::uint64_t seen = claim_word(number, Claim::offered);
            if (word.compare_exchange_strong(seen, claim_word(number, Claim::begun),
                                             std::memory_order_seq_cst))
                return true;
            if (word.compare_exchange_strong(seen, claim_word(number, Claim::skipped),
                                             std::memory_order_seq_cst))
                return false;  // Else another task has just been offered in its place.
        }
    }

    void run(std::uint64_t number, const Record& record) noexcept {
        ResultHeader header;
        header.number = number;
        header.began_ns = page_.begun_ns.load(std::memory_order_relaxed);
        begin(record);
        const std::exception_ptr error = call(record);
        end();
        if (error) {
            result_.clear();
            reserve_.reset();
            encode_exception(result_, error);
            reserve_.reset(std::malloc(reserved_bytes));
        }
        header.ended_ns = now();
        send(header, error != nullptr);
    }

    std::exception_ptr call(const Record& record) noexcept {
        try {
            page_.stage.store(Stage::decoding, std::memory_order_relaxed);
            const std::uint64_t size = record.size;  // Once: the parent's memory stays as it is.
            const auto* const bytes = reinterpret_cast<const std::byte*>(&record + 1);
            Decoder arguments(std::span(bytes, size));
            const auto thunk =
                reinterpret_cast<Thunk>(const_cast<void*>(modules_.decode(record.function)));
            RemoteCall remote{arguments, modules_, stop_ ? &*stop_ : nullptr, result_, page_.stage};
            thunk(remote);
            return nullptr;
        } catch (...) {
            return std::current_exception();
        }
    }

    void send(ResultHeader header, bool failed) {
        if (!result_.kept.empty()) results_.keep(std::move(result_.kept));
        if (result_.is_large()) {
            header.kind =
                failed ? ResultHeader::Kind::large_exception : ResultHeader::Kind::large_value;
            const LargeResult large = result_.take_large();
            results_.publish(header, &large, sizeof large);
        } else {
            header.kind = failed ? ResultHeader::Kind::exception : ResultHeader::Kind::value;
            results_.publish(header, result_.data, result_.size);
            result_.clear();
        }
    }

    void initialize() {
        const Offset initializer = pool().initializer;
        if (initializer == 0) return;
        if (const std::exception_ptr error = call(at<Record>(initializer))) {
            send_to_parent(Packet::Kind::initializer_failed, describe(error));
            os::end_process(1);
        }
        result_.clear();
    }

    // --- requests to stop, and the end of the parent

    void begin(const Record& record) {
        if (record.takes_stop == 0) return;
        const std::lock_guard held(running_lock_);
        stop_.emplace();
        running_ = record.id;
        // The parent sets this before it sends the packet, so one of the two is seen.
        if (record.stop_requested.load(std::memory_order_seq_cst) != 0) stop_->request_stop();
    }
    void end() {
        if (!stop_) return;
        const std::lock_guard held(running_lock_);
        running_.reset();
        stop_.reset();
    }

    void request_stop(std::uint64_t id) {
        std::optional<StopSource> source;
        {
            const std::lock_guard held(running_lock_);
            if (running_ == id) source = stop_;
        }
        if (source) source->request_stop();  // Runs the task's stop callbacks.
    }

    static std::int64_t now() {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
            .count();
    }

    struct Free {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    static constexpr std::size_t reserved_bytes = std::size_t{16} << 10;

    // Kept for saying what a task threw that has left no memory: std::bad_alloc, most likely.
    std::unique_ptr<void, Free> reserve_{std::malloc(reserved_bytes)};
    const WorkerLink& link_;
    WorkerPage& page_;
    os::Mapping pool_memory_;
    os::Mapping worker_memory_;
    os::Bell bell_;
    os::Bell leader_bell_;
    const TaskRing& ring_;
    ModuleResolver modules_;
    LargeResults large_;
    ResultBuffer result_;
    ResultWriter results_;
    std::mutex running_lock_;
    std::optional<std::uint64_t> running_;
    std::optional<StopSource> stop_;
};

/// True if this program is the parent's.
inline bool same_program(const WorkerPage& page) {
    const os::ModuleId id = os::loaded_modules()->modules.front()->id();
    return id.bytes.size() == page.program_id_size &&
           std::memcmp(id.bytes.data(), page.program_id.data(), id.bytes.size()) == 0;
}

/// What was printed and waits in a buffer.
inline void flush_streams() {
    std::cout.flush();
    std::clog.flush();
    std::wcout.flush();
    std::wclog.flush();
    (void)std::fflush(nullptr);
}

/// Ends a copy of the process. What the program registered for its own exit, and has in the buffers
/// of its own streams, is not the copy's to run and to write.
[[noreturn]] inline void end_copy(int code) {
    Daemons::ask_all();
    flush_streams();
    os::end_process(code);
}

/// Notes that this process ends since it has done what it was to do. Other ends are deaths.
inline void end_in_order() noexcept {
    try {
        FamilyMemory::own()->end_in_order();
    } catch (...) {  // The system refuses the memory: what it has is given back.
    }
}

/// Calls what serves the parent and ends this process. Where the system refuses what that needs, the
/// parent is told.
template <typename Serve>
[[noreturn]] void serve_or_tell(int lifeline, Serve serve) noexcept {
    try {
        serve();
    } catch (const std::exception& error) {
        send_to_parent(lifeline, Packet::Kind::cannot_serve, error.what());
    }
    os::end_process(1);
}

/// Runs tasks until the parent has no more, or a Process's only call, and ends the process.
/// Requires: this is a worker.
[[noreturn]] inline void serve_tasks() {
    const WorkerLink& link = own_worker_link();
    assert(link.page);
    // A copy has the name that it had before.
    if (link.page->process_name[0] != '\0') os::set_process_name(link.page->process_name.data());
    if (link.page->role == WorkerRole::copy)  // Also where a task calls exit.
        os::run_first_at_exit([](int code) { end_copy(code); });
    // Never destroyed: destructors that run at exit may still be asked about the worker, and the
    // thread that watches the parent lives as long as the process.
    int code = EXIT_SUCCESS;
    if (link.page->call != 0) {
        code = (new ChildMain(link))->run();
    } else {
        auto worker = std::make_unique<WorkerMain>(link);
        worker->watch_parent();
        worker.release()->serve();
    }
    if (code == EXIT_SUCCESS) end_in_order();
    if (link.page->role == WorkerRole::worker) std::exit(code);
    end_copy(code);
}

/// Serves the parent in a copy that was made for that and given the descriptors.
[[noreturn]] inline void serve_as_copy(const WorkerFds& fds) noexcept {
    serve_or_tell(fds[static_cast<std::size_t>(Inherited::lifeline)], [&] {
        std::array<std::byte, sizeof(std::uint64_t) + 16> head{};
        std::array<std::byte, 16> nonce{};
        if (!os::read_at_start(fds[static_cast<std::size_t>(Inherited::worker_memory)], head))
            end_without_link(fds);
        std::memcpy(nonce.data(), head.data() + sizeof(std::uint64_t), nonce.size());
        os::set_environment(worker_variable, worker_identity(nonce, fds));
        WorkerPage* const page = own_worker_page();
        if (!page) end_without_link(fds);
        page->guard_passed.store(1, std::memory_order_seq_cst);
        os::allow_background_output();
        serve_tasks();
    });
}

/// Makes copies of this process, which serve, until the other end of the socket is closed.
[[noreturn]] inline void serve_forks(int control) { serve_as_copy(os::ForkLoop(control).serve()); }

/// Serves the parent and ends the process. Requires: this is a worker.
[[noreturn]] inline void serve_parent() {
    const WorkerLink& link = own_worker_link();
    assert(link.page);
    link.page->guard_passed.store(1, std::memory_order_seq_cst);
    serve_or_tell(link.fd(Inherited::lifeline), [&] {
        os::allow_background_output();
        if (!same_program(*link.page)) {
            send_to_parent(Packet::Kind::other_build);
            os::end_process(1);
        }
        if (link.page->role == WorkerRole::fork_server) {
            send_to_parent(Packet::Kind::ready);
            end_in_order();  // It has nothing to do itself.
            serve_forks(link.fd(Inherited::lifeline));
        }
        serve_tasks();
    });
}

}  // namespace muster::detail
